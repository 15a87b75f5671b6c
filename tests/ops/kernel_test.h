// What the tests of the kernels share: a loop over random cases, and arrays
// that are allocations of their own size, so that sanitizers see an access
// beyond one.

#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <random>
#include <type_traits>
#include <utility>
#include <vector>

#include "bigru_jax/ops/cpu_kernel.h"

#ifndef NUMBER
#define NUMBER float
#endif
namespace bigru {
using Number = NUMBER;
}
using bigru::Number;

using Array = std::vector<float>;
using Numbers = std::vector<Number>;
using Doubles = std::vector<double>;

inline Number Round(float value) {
  if constexpr (std::is_same_v<Number, float>) {
    return static_cast<Number>(value);
  } else {  // To the nearest bfloat16, and to an even one between two.
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return static_cast<Number>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}
inline float Widen(float value) { return value; }
inline float Widen(bigru::BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float widened;
  std::memcpy(&widened, &bits, sizeof(bits));
  return widened;
}
inline Numbers Round(const Array& values) {
  Numbers rounded;
  for (float value : values) rounded.push_back(Round(value));
  return rounded;
}
template <class T>
Doubles Widen(const std::vector<T>& values) {
  Doubles widened;
  for (T value : values) widened.push_back(Widen(value));
  return widened;
}

// The tolerated differences, relative to the largest value of an array. In
// bfloat16 a product has two rounded factors, each with a relative error of up
// to 2^-9, and so a standard deviation of its error below 2^-8 / 2.4. The
// errors of a sum's K products are independent: relative to the usual size of
// the sum, the square root of K products, the standard deviation of its error
// is the same. Five of them, 2 * 2^-8, are tolerated for each of the two sums
// on the way to a gradient. In an output, which is rounded once, sigmoid and
// tanh make the errors of the sums smaller than that rounding.
constexpr bool kIsFloat = std::is_same_v<Number, float>;
constexpr double kOutputTolerance = kIsFloat ? 2e-6 : 1.0 / 256;
constexpr double kGradientTolerance = kIsFloat ? 2e-6 : 4.0 / 256;

struct Random {
  explicit Random(unsigned seed) : engine(seed) {}

  // Small sizes are the likeliest; large ones fill tiles and chunks.
  int64_t Size(int64_t largest) {
    const int64_t limit = engine() % 3 ? 1 + largest / 8 : largest;
    return static_cast<int64_t>(1 + engine() % limit);
  }
  Array Floats(int64_t count, int64_t fan) {
    Array values(count);
    for (float& value : values) value = normal(engine) / std::sqrt(fan);
    return values;
  }
  // Floats that are numbers.
  Array Rounded(int64_t count, int64_t fan) {
    Array values = Floats(count, fan);
    for (float& value : values) value = Widen(Round(value));
    return values;
  }
  // None to all of the positions.
  std::unique_ptr<bool[]> Mask(int64_t count) {
    auto mask = std::make_unique<bool[]>(count);
    const unsigned real = engine() % 5;
    for (int64_t i = 0; i < count; ++i) mask[i] = engine() % 4 < real;
    return mask;
  }

  std::mt19937 engine;
  std::normal_distribution<float> normal{0, 0.5f};
};

// Memory of exactly this many bytes.
class Memory {
 public:
  explicit Memory(int64_t size)
      : size_(size),
        data_(static_cast<char*>(std::aligned_alloc(bigru::kAlignment, size)),
              std::free) {}
  bigru::Block block() const { return {data_.get(), size_}; }

 private:
  int64_t size_;
  std::unique_ptr<char, decltype(&std::free)> data_;
};

inline bool Equal(const char* name, const Doubles& actual,
                  const Doubles& expected, double tolerance) {
  double largest = 0;
  for (double value : expected) largest = std::fmax(largest, std::fabs(value));
  for (size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::fabs(actual[i] - expected[i]);
    if (!(difference <= tolerance * (1 + largest))) {
      std::printf("%s is wrong by %g of %g\n", name, difference, largest);
      return false;
    }
  }
  return true;
}

using Pairs = std::initializer_list<
    std::pair<const char*, std::pair<const Doubles&, const Doubles&>>>;

// Whether each pair of actual and expected values is equal.
inline bool AllEqual(double tolerance, Pairs pairs) {
  for (const auto& [name, values] : pairs) {
    if (!Equal(name, values.first, values.second, tolerance)) return false;
  }
  return true;
}

// The program PROGRAM [SEEDS]: runs test(seed), which says whether it is right.
template <class Test>
int RunSeeds(int count, char** arguments, bool supported, Test test) {
  const int seeds = count > 1 ? std::atoi(arguments[1]) : 40;
  if (!supported) {
    std::puts("not supported");
    return 0;
  }
  for (int seed = 0; seed < seeds; ++seed) {
    if (!test(seed)) {
      std::printf("with seed %d\n", seed);
      return 1;
    }
  }
  std::printf("%d cases are right\n", seeds);
  return 0;
}
