// The matrix product C = C0 + A B for one instruction set.
//
// As in BLIS, B is read in panels of kNR columns, and a microkernel computes a
// kMR x kNR tile of C in registers. K is not blocked: in our products it is so
// small that a panel of B stays in the L2 cache.
//
// A and B consist of *words*, which one step along K multiplies: a word is a
// float, or a pair of bfloat16 with neighbouring k. If K is odd, the second
// half of the last word is zero in A or B, and a finite number in the other.
//
// Where there is AMX, it computes the tiles that are whole in M, N and K, and
// the microkernel the rest.

#pragma once

#include <cstdint>

#include "cpu_simd-inl.h"

namespace bigru::INSTRUCTION_SET {
namespace {

// A tile occupies kMR x kVectors registers: enough to hide the latency of the
// multiply-adds, and few enough to leave registers for kVectors vectors of B
// and a broadcast of A. It takes 24 of the 32 registers of AVX-512 and NEON,
// and 12 of the 16 of AVX2.
#if defined(__AVX512F__)
constexpr int kMR = 6, kVectors = 4;
#elif defined(__AVX2__)
constexpr int kMR = 6, kVectors = 2;
#else
constexpr int kMR = 6, kVectors = 4;
#endif
constexpr int64_t kNR = kLanes * kVectors;

// The kernels gather about this many rows for a product: enough that a tile of
// weight gradients is loaded and stored rarely, and few enough that the rows
// stay in the L2 cache.
constexpr int64_t kChunk = 128;

#if defined(__AVX512BF16__)
using Word = int32_t;
#else
using Word = float;
#endif
typedef Word Words
    __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
constexpr int64_t kPerWord = sizeof(Word) / sizeof(Number);
constexpr int64_t NumWords(int64_t K) { return (K + kPerWord - 1) / kPerWord; }

// Returns the word at `p`, which need not be aligned.
inline Word LoadWord(const void* p) {
  Word word;
  __builtin_memcpy(&word, p, sizeof(word));
  return word;
}

// Returns sum + a b.
inline Simd<kLanes>::Float MultiplyAdd(Simd<kLanes>::Float sum, Word a,
                                       Words b) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<Simd<kLanes>::Float>(_mm512_dpbf16_ps(
      reinterpret_cast<__m512>(sum),
      reinterpret_cast<__m512bh>(_mm512_set1_epi32(a)),
      reinterpret_cast<__m512bh>(b)));
#else
  return sum + a * b;
#endif
}

// A [M, K]: its word (m, k) is data[m * row_stride + k * column_stride].
struct MatrixA {
  const Word* data;
  int64_t row_stride, column_stride;
};
// The rows of `a` are lda numbers apart, a multiple of kPerWord.
inline MatrixA NoTrans(const Number* a, int64_t lda) {
  return {reinterpret_cast<const Word*>(a), lda / kPerWord, 1};
}

// B [K, N]: column n0, a multiple of kNR, begins at data + n0 * column_stride,
// and a panel's rows are ldb apart. Whole vectors are read, so the memory
// beyond column N must be readable.
struct MatrixB {
  const Word* data;
  int64_t ldb, column_stride;
};
inline MatrixB Packed(const Word* b, int64_t K) {
  return {b, kNR, NumWords(K)};
}
inline MatrixB Unpacked(const Word* b, int64_t ldb) { return {b, ldb, 1}; }

// C0 [M, N], which may be C itself; with ldc0 = 0, one row serves for all rows.
struct MatrixC0 {
  const float* data;
  int64_t ldc0;
};
inline MatrixC0 Broadcast(const float* row) { return {row, 0}; }

// C [MR, N] = C0 + A [MR, K] B [K, N], where K counts words, and N is V
// vectors, the last of which has `tail` columns. GCC keeps the sums in
// registers only if the loops that store them are unrolled early.
template <int MR, int V>
void Microkernel(int64_t K, MatrixA a, MatrixB b, MatrixC0 c0, float* c,
                 int64_t ldc, int tail) {
  using simd = Simd<kLanes>;
  simd::Float sum[MR][V] = {};
  for (int64_t k = 0; k < K; ++k) {
    Words b_row[V];
    for (int v = 0; v < V; ++v) {
      b_row[v] = *reinterpret_cast<const Words*>(b.data + v * kLanes);
    }
    for (int m = 0; m < MR; ++m) {
      const Word a_mk = LoadWord(a.data + m * a.row_stride);
      for (int v = 0; v < V; ++v) {
        sum[m][v] = MultiplyAdd(sum[m][v], a_mk, b_row[v]);
      }
    }
    a.data += a.column_stride;
    b.data += b.ldb;
  }
#pragma GCC unroll 6
  for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const float* from = c0.data + m * c0.ldc0 + v * kLanes;
      float* to = c + m * ldc + v * kLanes;
      if (v < V - 1 || tail == kLanes) {
        simd::Store(to, simd::Load(from) + sum[m][v]);
      } else {
        simd::Float partial = {};
        __builtin_memcpy(&partial, from, sizeof(float) * tail);
        partial += sum[m][v];
        __builtin_memcpy(to, &partial, sizeof(float) * tail);
      }
    }
  }
}

// All rows of a panel of V vectors; the remaining rows form a smaller tile.
template <int V, int MR = kMR>
void PanelRows(int64_t M, int64_t K, MatrixA a, MatrixB b, MatrixC0 c0,
               float* c, int64_t ldc, int tail) {
  for (; M >= MR; M -= MR) {
    Microkernel<MR, V>(K, a, b, c0, c, ldc, tail);
    a.data += MR * a.row_stride;
    c0.data += MR * c0.ldc0;
    c += MR * ldc;
  }
  if constexpr (MR > 1) {
    if (M) PanelRows<V, MR - 1>(M, K, a, b, c0, c, ldc, tail);
  }
}

// One panel of N <= kNR columns, in as few vectors as possible.
template <int V = kVectors>
void Panel(int64_t M, int64_t N, int64_t K, MatrixA a, MatrixB b, MatrixC0 c0,
           float* c, int64_t ldc) {
  if constexpr (V > 1) {
    if (N <= (V - 1) * kLanes) {
      return Panel<V - 1>(M, N, K, a, b, c0, c, ldc);
    }
  }
  PanelRows<V>(M, K, a, b, c0, c, ldc, static_cast<int>(N - (V - 1) * kLanes));
}

#if defined(BIGRU_TILES)
static_assert(kNR == 4 * kTile);

// Computes the whole tiles of a panel. Moves A, C0 and C to the rows after
// them, and returns the number of these rows.
inline int64_t PanelTiles(int64_t M, int64_t K, MatrixA& a, MatrixB b,
                          MatrixC0& c0, float*& c, int64_t ldc) {
  const int64_t tile_rows = M / kTile * kTile, tile_words = K / kTile * kTile;
  if (tile_rows == 0 || tile_words == 0 || a.column_stride != 1) return M;
  MultiplyTiles(tile_rows, tile_words, a.data, a.row_stride, b.data, b.ldb,
                c0.data, c0.ldc0, c, ldc);
  if (tile_words < K) {
    Panel(tile_rows, kNR, K - tile_words,
          {a.data + tile_words, a.row_stride, 1},
          {b.data + tile_words * b.ldb, b.ldb, b.column_stride}, {c, ldc}, c,
          ldc);
  }
  a.data += tile_rows * a.row_stride;
  c0.data += tile_rows * c0.ldc0;
  c += tile_rows * ldc;
  return M - tile_rows;
}
#endif

// C [M, N] = C0 [M, N] + A [M, K] B [K, N].
inline void Gemm(int64_t M, int64_t N, int64_t K, MatrixA a, MatrixB b,
                 MatrixC0 c0, float* c, int64_t ldc) {
  for (int64_t n = 0; n < N; n += kNR) {
    const int64_t columns = N - n < kNR ? N - n : kNR;
    const MatrixB b_n = {b.data + n * b.column_stride, b.ldb, b.column_stride};
    MatrixA a_m = a;
    MatrixC0 c0_n = {c0.data + n, c0.ldc0};
    float* c_n = c + n;
    int64_t rows = M;
#if defined(BIGRU_TILES)
    if (columns == kNR) {
      rows = PanelTiles(M, NumWords(K), a_m, b_n, c0_n, c_n, ldc);
    }
#endif
    Panel(rows, columns, NumWords(K), a_m, b_n, c0_n, c_n, ldc);
  }
}

}  // namespace
}  // namespace bigru::INSTRUCTION_SET
