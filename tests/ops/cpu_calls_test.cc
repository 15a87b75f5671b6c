// The library's handlers on many threads: what does not depend on how the batch
// is shared is the same to the last bit as on one thread, and the sums over the
// shares are close. Under ThreadSanitizer it also shows that no thread reads
// what another writes. Usage: cpu_calls_test LIBRARY

#include <dlfcn.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "xla_call.h"

using bigru::Array;
using Arrays = std::vector<Array>;

struct Library {
  explicit Library(const char* path) : handle(dlopen(path, RTLD_NOW)) {
    if (!handle) {
      std::puts(dlerror());
      std::exit(1);
    }
  }
  // The handler's results, of these shapes.
  Arrays Call(const char* handler, int64_t num_threads, Arrays arguments,
              const std::vector<std::vector<int64_t>>& shapes) const {
    Arrays results;
    for (const auto& shape : shapes) results.emplace_back(shape, NAN);
    const std::string error = bigru::CallHandler(
        reinterpret_cast<XLA_FFI_Handler*>(dlsym(handle, handler)), num_threads,
        "", arguments, results);
    if (!error.empty()) {
      std::printf("%s: %s\n", handler, error.c_str());
      std::exit(1);
    }
    return results;
  }
  void* handle;
};

struct Random {
  Array Floats(const std::vector<int64_t>& shape) {
    std::vector<float> values(Array(shape, 0).values().size());
    for (float& value : values) value = 0.3f * normal(engine);
    return Array(shape, values);
  }
  Array Mask(int64_t B, int64_t T) {
    std::vector<char> values(B * T);
    for (char& value : values) value = engine() % 4 > 0;
    return Array::Mask({B, T}, values);
  }
  std::mt19937 engine;
  std::normal_distribution<float> normal;
};

// h, dx, dh0 and dscale, and then the gradients of the weights.
Arrays Gru(const Library& library, int64_t num_threads, int64_t B, int64_t T,
           int64_t E, int64_t H) {
  Random random;
  const Array x = random.Floats({B, T, E}), mask = random.Mask(B, T);
  const Array w_input = random.Floats({2, 3 * H, E});
  const Array w_recurrent = random.Floats({2, 3 * H, H});
  const Array b = random.Floats({2, 3 * H}), b_n = random.Floats({2, H});
  const Array h0 = random.Floats({2, B, H}), scale = random.Floats({2, B, H});
  const Arrays out =
      library.Call("BigruGruForward_float32", num_threads,
                   {x, mask, w_input, w_recurrent, b, b_n, h0, scale},
                   {{B, T, 2 * H}, {2, T, B, 4 * H}});
  const Arrays d =
      library.Call("BigruGruBackward_float32", num_threads,
                   {x, mask, w_input, w_recurrent, h0, scale, out[0], out[1],
                    random.Floats({B, T, 2 * H})},
                   {x.shape(), w_input.shape(), w_recurrent.shape(), b.shape(),
                    b_n.shape(), h0.shape(), scale.shape(), out[1].shape()});
  return {out[0], d[0], d[5], d[6], d[1], d[2], d[3], d[4]};
}

Arrays Attention(const Library& library, int64_t num_threads, int64_t B,
                 int64_t T, int64_t F, int64_t A) {
  Random random;
  const Array h = random.Floats({B, T, F}), mask = random.Mask(B, T);
  const Array kernel = random.Floats({F, A}), bias = random.Floats({A});
  const Array query = random.Floats({A});
  Arrays out =
      library.Call("BigruAttentionForward_float32", num_threads,
                   {h, mask, kernel, bias, query}, {{B, F}, {B, T}, {B, T, A}});
  const Arrays d =
      library.Call("BigruAttentionBackward_float32", num_threads,
                   {h, mask, kernel, query, out[1], out[2],
                    random.Floats({B, F}), random.Floats({B, T})},
                   {h.shape(), kernel.shape(), bias.shape(), query.shape()});
  return {out[0], out[1], d[0], d[1], d[2], d[3]};
}

// Whether the first `num_exact` arrays are equal and the others close.
bool Equal(const Arrays& arrays, const Arrays& expected, size_t num_exact) {
  for (size_t i = 0; i < arrays.size(); ++i) {
    const auto &values = arrays[i].values(), &wanted = expected[i].values();
    for (size_t j = 0; j < values.size(); ++j) {
      const double tolerance =
          i < num_exact ? 0 : 1e-4 * (1 + std::fabs(wanted[j]));
      if (!(std::fabs(values[j] - wanted[j]) <= tolerance)) {
        std::printf("result %zu: %g in place of %g\n", i, values[j], wanted[j]);
        return false;
      }
    }
  }
  return true;
}

int main(int, char** arguments) {
  const Library library(arguments[1]);
  const int64_t sizes[][4] = {{1, 3, 5, 7}, {33, 6, 20, 17}, {70, 9, 33, 40}};
  for (const auto& s : sizes) {
    const Arrays gru = Gru(library, 1, s[0], s[1], s[2], s[3]);
    const Arrays attention = Attention(library, 1, s[0], s[1], s[2], s[3]);
    for (int64_t num_threads : {2, 5, 16}) {
      if (!Equal(Gru(library, num_threads, s[0], s[1], s[2], s[3]), gru, 4) ||
          // Its shares depend on the batch alone.
          !Equal(Attention(library, num_threads, s[0], s[1], s[2], s[3]),
                 attention, attention.size())) {
        std::printf("on %d threads\n", static_cast<int>(num_threads));
        return 1;
      }
    }
  }
  std::puts("the results are right");
  return 0;
}
