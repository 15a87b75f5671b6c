// Vectors of floats for one instruction set, and loops over arrays of them.
//
// A kernel is compiled once for each instruction set, with the compiler's
// options for it and -DINSTRUCTION_SET=avx512 or another name, which becomes a
// namespace. -DNUMBER=BFloat16 makes a kernel for arrays of bfloat16, which are
// converted to floats when they are loaded, and rounded to the nearest when
// they are stored. A kernel uses nothing of the C++ library, because the linker
// could use an inline function that was compiled for AVX-512 in code for every
// processor. For the same reason, this and the other -inl.h files define
// everything in an anonymous namespace: include them in *_kernel.cc files only.

#pragma once

#include <cstdint>

#include "cpu_amx-inl.h"
#include "cpu_kernel.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#ifndef NUMBER
#define NUMBER float
#endif

namespace bigru::INSTRUCTION_SET {
namespace {

using Number = NUMBER;

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

// Returns whether this processor has the instruction set.
inline bool Supported() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw")
#if defined(__AVX512BF16__)
         && __builtin_cpu_supports("avx512bf16") && SupportsTiles()
#endif
      ;
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

inline int64_t RoundUp(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Returns the distance between rows of n floats. It leaves room to read a whole
// vector at the end of a row, and an odd number of vectors spreads the rows
// over the sets of the cache.
inline int64_t Stride(int64_t n) {
  return (RoundUp(n + kLanes, kLanes) / kLanes | 1) * kLanes;
}

inline float ToFloat(float x) { return x; }
inline float ToFloat(BFloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}

template <class T>
void Zero(int64_t n, T* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = T{};
}

#if defined(__AVX512BF16__)
typedef uint16_t Halves __attribute__((vector_size(2 * kLanes)));
typedef uint32_t Bits __attribute__((vector_size(4 * kLanes)));
#endif

// Vectors of floats, and functions of them.
template <int lanes>
struct Simd {
  typedef float Float
      __attribute__((vector_size(4 * lanes), aligned(4), may_alias));
  typedef int32_t Int __attribute__((vector_size(4 * lanes), aligned(4)));
  static Float Load(const float* p) {
    return *reinterpret_cast<const Float*>(p);
  }
  static void Store(float* p, Float x) { *reinterpret_cast<Float*>(p) = x; }

#if defined(__AVX512BF16__)
  static Float Load(const BFloat16* p) {
    Halves halves = {};
    __builtin_memcpy(&halves, p, sizeof(*p) * lanes);
    const Bits bits = __builtin_convertvector(halves, Bits) << 16;
    Float x;
    __builtin_memcpy(&x, &bits, sizeof(x));
    return x;
  }
  static void Store(BFloat16* p, Float x) {
    __m512 floats = {};
    __builtin_memcpy(&floats, &x, sizeof(x));
    const __m256bh halves = _mm512_cvtneps_pbh(floats);
    __builtin_memcpy(p, &halves, sizeof(*p) * lanes);
  }
#endif

  // e^x with a relative error of 2e-7, for x clipped to [-80, 80], which
  // suffices for gates and a softmax: x = n ln 2 + r, and a Taylor polynomial
  // gives e^r. NaN stays NaN.
  static Float Exp(Float x) {
    x = x > 80 ? Float{} + 80 : x;
    x = x < -80 ? Float{} - 80 : x;
    // Adding 1.5 * 2^23 rounds to an integer, which is in the lowest bits.
    const Float shifted = x * 1.44269504f + 12582912.0f;
    const Float n = shifted - 12582912.0f;
    const Float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Float e = r * (1.0f / 720) + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = e * r + 1;
    e = e * r + 1;
    const Int exponent = (reinterpret_cast<Int>(shifted) + 127) << 23;
    return e * reinterpret_cast<Float>(exponent);
  }
  static Float Sigmoid(Float x) { return 1 / (1 + Exp(-x)); }
  static Float Tanh(Float x) { return 1 - 2 / (1 + Exp(2 * x)); }
};

// Calls f(Simd<lanes>(), j) for blocks [j, j + lanes) that together cover
// [0, n). The last block may overlap the one before it, so f must not read its
// output.
template <class F>
void ForEachBlock(int64_t n, F f) {
  if (n < kLanes) {
    for (int64_t j = 0; j < n; ++j) f(Simd<1>(), j);
    return;
  }
  for (int64_t j = 0; j <= n - kLanes; j += kLanes) f(Simd<kLanes>(), j);
  if (n % kLanes) f(Simd<kLanes>(), n - kLanes);
}

// The same for blocks that do not overlap, the last of which are single lanes.
template <class F>
void ForEachDisjointBlock(int64_t n, F f) {
  int64_t j = 0;
  for (; j <= n - kLanes; j += kLanes) f(Simd<kLanes>(), j);
  for (; j < n; ++j) f(Simd<1>(), j);
}

template <class T>
void Copy(int64_t n, const T* __restrict from, T* __restrict to) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}
// Copies and converts.
template <class From, class To>
void Copy(int64_t n, const From* from, To* to) {
  ForEachBlock(n, [=](auto simd, int64_t j) {
    simd.Store(to + j, simd.Load(from + j));
  });
}

// y += factor x
template <class From, class To>
void AddScaled(int64_t n, float factor, const From* x, To* y) {
  ForEachDisjointBlock(n, [=](auto simd, int64_t j) {
    simd.Store(y + j, simd.Load(y + j) + factor * simd.Load(x + j));
  });
}

// to += from
template <class From, class To>
void Add(int64_t n, const From* from, To* to) {
  AddScaled(n, 1, from, to);
}

// y [n] += the sum of x [rows, n] over the rows; n is a multiple of kLanes
template <class From>
void AddRows(int64_t n, int64_t rows, const From* x, int64_t ldx, float* y) {
  using simd = Simd<kLanes>;
  for (int64_t j = 0; j < n; j += kLanes) {
    simd::Float sum = {};
    for (int64_t row = 0; row < rows; ++row) {
      sum += simd::Load(x + row * ldx + j);
    }
    simd::Store(y + j, simd::Load(y + j) + sum);
  }
}

}  // namespace
}  // namespace bigru::INSTRUCTION_SET

#define BIGRU_NAME(name) #name
#define BIGRU_STRING(name) BIGRU_NAME(name)
