// The matrix product C = C0 + A B for one instruction set.
//
// As in BLIS, B is read in panels of kNR columns, and a microkernel computes a
// kMR x kNR tile of C in registers. K is not blocked: in our products it is so
// small that a panel of B stays in the L2 cache.

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

// A [M, K]: its element (m, k) is data[m * row_stride + k * column_stride].
struct MatrixA {
  const float* data;
  int64_t row_stride, column_stride;
};
inline MatrixA NoTrans(const float* a, int64_t lda) { return {a, lda, 1}; }
inline MatrixA Trans(const float* a, int64_t lda) { return {a, 1, lda}; }

// B [K, N]: column n0, a multiple of kNR, begins at data + n0 * column_stride,
// and a panel's rows are ldb apart. Whole vectors are read, so the memory
// beyond column N must be readable.
struct MatrixB {
  const float* data;
  int64_t ldb, column_stride;
};
inline MatrixB Packed(const float* b, int64_t K) { return {b, kNR, K}; }
inline MatrixB Unpacked(const float* b, int64_t ldb) { return {b, ldb, 1}; }

// C0 [M, N], which may be C itself; with ldc0 = 0, one row serves for all rows.
struct MatrixC0 {
  const float* data;
  int64_t ldc0;
};
inline MatrixC0 Broadcast(const float* row) { return {row, 0}; }

// C [MR, N] = C0 + A [MR, K] B [K, N], where N is V vectors, the last of which
// has `tail` columns.
template <int MR, int V>
void Microkernel(int64_t K, MatrixA a, MatrixB b, MatrixC0 c0, float* c,
                 int64_t ldc, int tail) {
  using simd = Simd<kLanes>;
  simd::Float sum[MR][V] = {};
  for (int64_t k = 0; k < K; ++k) {
    simd::Float b_row[V];
    for (int v = 0; v < V; ++v) b_row[v] = simd::Load(b.data + v * kLanes);
    for (int m = 0; m < MR; ++m) {
      const float a_mk = a.data[m * a.row_stride];
      for (int v = 0; v < V; ++v) sum[m][v] += a_mk * b_row[v];
    }
    a.data += a.column_stride;
    b.data += b.ldb;
  }
  for (int m = 0; m < MR; ++m) {
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

// C [M, N] = C0 [M, N] + A [M, K] B [K, N].
inline void Gemm(int64_t M, int64_t N, int64_t K, MatrixA a, MatrixB b,
                 MatrixC0 c0, float* c, int64_t ldc) {
  for (int64_t n = 0; n < N; n += kNR) {
    const int64_t columns = N - n < kNR ? N - n : kNR;
    Panel(M, columns, K, a,
          {b.data + n * b.column_stride, b.ldb, b.column_stride},
          {c0.data + n, c0.ldc0}, c + n, ldc);
  }
}

// The number of floats in a packed B [K, N]. Zeros fill the last panel.
inline int64_t PackedSize(int64_t K, int64_t N) { return K * RoundUp(N, kNR); }

// Packs B [K, N], whose row k is at row(k).
template <class F>
void PackRows(int64_t K, int64_t N, F row, float* packed) {
  Zero(PackedSize(K, N), packed);
  for (int64_t n = 0; n < N; n += kNR) {
    const int64_t columns = N - n < kNR ? N - n : kNR;
    for (int64_t k = 0; k < K; ++k) {
      Copy(columns, row(k) + n, packed + n * K + k * kNR);
    }
  }
}

// Packs B [K, N], whose column n is at column(n).
template <class F>
void PackColumns(int64_t K, int64_t N, F column, float* packed) {
  Zero(PackedSize(K, N), packed);
  for (int64_t n = 0; n < N; ++n) {
    const float* from = column(n);
    float* to = packed + n / kNR * kNR * K + n % kNR;
    for (int64_t k = 0; k < K; ++k) to[k * kNR] = from[k];
  }
}

}  // namespace
}  // namespace bigru::INSTRUCTION_SET
