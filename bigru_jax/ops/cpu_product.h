// Vectors of floats and the matrix product, for one instruction set.
//
// A kernel is compiled once for each instruction set, with the compiler's
// options for it and -DINSTRUCTION_SET=avx512 or another name, which becomes a
// namespace. It uses nothing of the C++ library: an inline function of it,
// compiled for AVX-512, could be linked into code for every processor.

#ifndef BIGRU_JAX_OPS_CPU_PRODUCT_H_
#define BIGRU_JAX_OPS_CPU_PRODUCT_H_

#include <cstdint>

namespace bigru::INSTRUCTION_SET {
namespace {

// The matrix product works on a tile of kRows x kVectors registers, so many
// that multiply-adds in flight cover their latency, and so few that a vector
// of B for each column and a broadcast of A fit beside them: 24 of the 32
// registers of AVX-512 and NEON, 12 of the 16 of AVX2.
#if defined(__AVX512F__)
constexpr int kLanes = 16, kRows = 6, kVectors = 4;
#elif defined(__AVX2__)
constexpr int kLanes = 8, kRows = 6, kVectors = 2;
#else
constexpr int kLanes = 4, kRows = 6, kVectors = 4;
#endif
constexpr int64_t kPanel = kLanes * kVectors;

// Rows of a chunk: enough that a tile of weight gradients is loaded and stored
// rarely, and few enough that the chunk stays in the second-level cache.
constexpr int64_t kChunk = 128;

int64_t RoundUp(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Floats from one row to the next where a row has n: a whole vector may be read
// at its end, and an odd number of vectors spreads the rows over the cache's
// sets.
int64_t Stride(int64_t n) {
  return (RoundUp(n + kLanes, kLanes) / kLanes | 1) * kLanes;
}

void Copy(int64_t n, const float* __restrict from, float* __restrict to) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}

void Zero(int64_t n, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = 0;
}

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

  // e^x for |x| <= 80, which is enough for gates and a softmax, to 2e-7 of its
  // value: x is n ln 2 + r, and e^r its Taylor polynomial. NaN stays NaN.
  static Float Exp(Float x) {
    x = x > 80 ? Float{} + 80 : x;
    x = x < -80 ? Float{} - 80 : x;
    // Adding 1.5 * 2^23 rounds to a whole number, in the lowest bits.
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

// ---------------------------------------------------------------------------
// The matrix product C = added + A B.

// A [M, K] has strides for its rows and columns, so that it may be transposed.
struct Left {
  const float* data;
  int64_t row, column;
};

// B [K, N], read a panel of kPanel columns at a time; whole vectors are read,
// so beyond N there must be something. Column n0, a multiple of kPanel, begins
// at data + n0 * panel.
struct Right {
  const float* data;
  int64_t row, panel;
};

// What is added to A B: rows at a stride, or one for all rows at a stride of 0.
struct Added {
  const float* data;
  int64_t row;
};

// The tile of R rows and V vectors, the last of which has `tail` columns.
template <int R, int V>
void Tile(int64_t K, Left a, Right b, Added added, float* c, int64_t c_row,
          int tail) {
  using simd = Simd<kLanes>;
  simd::Float sum[R][V] = {};
  for (int64_t k = 0; k < K; ++k) {
    simd::Float row[V];
    for (int v = 0; v < V; ++v) row[v] = simd::Load(b.data + v * kLanes);
    for (int r = 0; r < R; ++r) {
      const float factor = a.data[r * a.row];
      for (int v = 0; v < V; ++v) sum[r][v] += factor * row[v];
    }
    a.data += a.column;
    b.data += b.row;
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      const float* from = added.data + r * added.row + v * kLanes;
      float* to = c + r * c_row + v * kLanes;
      if (v < V - 1 || tail == kLanes) {
        simd::Store(to, simd::Load(from) + sum[r][v]);
      } else {
        simd::Float partial = {};
        __builtin_memcpy(&partial, from, sizeof(float) * tail);
        partial += sum[r][v];
        __builtin_memcpy(to, &partial, sizeof(float) * tail);
      }
    }
  }
}

// All rows of V vectors of columns; what remains of kRows is a smaller tile.
template <int V, int R = kRows>
void Rows(int64_t M, int64_t K, Left a, Right b, Added added, float* c,
          int64_t c_row, int tail) {
  for (; M >= R; M -= R) {
    Tile<R, V>(K, a, b, added, c, c_row, tail);
    a.data += R * a.row;
    added.data += R * added.row;
    c += R * c_row;
  }
  if constexpr (R > 1) {
    if (M) Rows<V, R - 1>(M, K, a, b, added, c, c_row, tail);
  }
}

// All rows of one panel, in as few vectors as its columns need.
template <int V = kVectors>
void Panel(int64_t M, int64_t K, int64_t columns, Left a, Right b, Added added,
           float* c, int64_t c_row) {
  if constexpr (V > 1) {
    if (columns <= (V - 1) * kLanes) {
      return Panel<V - 1>(M, K, columns, a, b, added, c, c_row);
    }
  }
  Rows<V>(M, K, a, b, added, c, c_row,
          static_cast<int>(columns - (V - 1) * kLanes));
}

// C [M, N] = added + A [M, K] B [K, N].
void Product(int64_t M, int64_t K, int64_t N, Left a, Right b, Added added,
             float* c, int64_t c_row) {
  for (int64_t n = 0; n < N; n += kPanel) {
    const int64_t columns = N - n < kPanel ? N - n : kPanel;
    Panel(M, K, columns, a, {b.data + n * b.panel, b.row, b.panel},
          {added.data + n, added.row}, c + n, c_row);
  }
}

// Copies B [K, N] panel by panel, with zeros beyond N; row(k) is where its row
// k is.
template <class F>
Right PackRows(int64_t K, int64_t N, F row, float* out) {
  Zero(K * RoundUp(N, kPanel), out);
  for (int64_t n = 0; n < N; n += kPanel) {
    const int64_t columns = N - n < kPanel ? N - n : kPanel;
    for (int64_t k = 0; k < K; ++k) {
      Copy(columns, row(k) + n, out + n * K + k * kPanel);
    }
  }
  return {out, kPanel, K};
}

// The same of its transpose; column(n) is where column n of B is.
template <class F>
Right PackColumns(int64_t K, int64_t N, F column, float* out) {
  Zero(K * RoundUp(N, kPanel), out);
  for (int64_t n = 0; n < N; ++n) {
    const float* from = column(n);
    float* to = out + n / kPanel * kPanel * K + n % kPanel;
    for (int64_t k = 0; k < K; ++k) to[k * kPanel] = from[k];
  }
  return {out, kPanel, K};
}

// ---------------------------------------------------------------------------
// Elementwise functions.

// Calls f(Simd<lanes>(), j) for blocks of lanes from j on that cover 0 to n.
// The last block may overlap the one before it, so f reads nothing it writes.
template <class F>
void ForEachBlock(int64_t n, F f) {
  if (n < kLanes) {
    for (int64_t j = 0; j < n; ++j) f(Simd<1>(), j);
    return;
  }
  for (int64_t j = 0; j <= n - kLanes; j += kLanes) f(Simd<kLanes>(), j);
  if (n % kLanes) f(Simd<kLanes>(), n - kLanes);
}

bool Supported() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

}  // namespace
}  // namespace bigru::INSTRUCTION_SET

#define BIGRU_NAME(name) #name
#define BIGRU_STRING(name) BIGRU_NAME(name)

#endif  // BIGRU_JAX_OPS_CPU_PRODUCT_H_
