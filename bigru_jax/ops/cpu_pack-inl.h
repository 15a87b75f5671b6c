// The layouts of the matrices in cpu_gemm-inl.h: panels of B, and the words of
// a matrix along its rows.

#pragma once

#include <cstdint>

#include "cpu_gemm-inl.h"

namespace bigru::INSTRUCTION_SET {
namespace {

// The number of words in a packed B [K, N]. Zeros fill the last panel.
inline int64_t PackedSize(int64_t K, int64_t N) {
  return NumWords(K) * RoundUp(N, kNR);
}

// Writes word k of N columns of a matrix with K rows, whose row k is at row(k).
// The words are `stride` apart.
template <class F>
void JoinRows(int64_t N, int64_t k, int64_t K, F row, Word* __restrict to,
              int64_t stride = 1) {
  if constexpr (kPerWord == 1) {
    Copy(N, row(k), to);
  } else {
    using Half = uint16_t;
    const Number* __restrict first = row(2 * k);
    const Number* __restrict second = 2 * k + 1 < K ? row(2 * k + 1) : nullptr;
    for (int64_t n = 0; n < N; ++n) {
      const uint32_t high = second ? static_cast<Half>(second[n]) : 0;
      const uint32_t low = static_cast<Half>(first[n]);
      to[n * stride] = static_cast<int32_t>(high << 16 | low);
    }
  }
}

// Returns the words of a matrix [rows, ld], in `to` unless words are numbers.
inline const Word* JoinAllRows(int64_t rows, int64_t ld, const Number* from,
                               Word* to) {
  if constexpr (kPerWord == 1) {
    return reinterpret_cast<const Word*>(from);
  } else {
    for (int64_t k = 0; k < NumWords(rows); ++k) {
      JoinRows(
          ld, k, rows, [=](int64_t row) { return from + row * ld; },
          to + k * ld);
    }
    return to;
  }
}
// Returns the transpose of a matrix [rows, ld], with its words in `to`.
inline MatrixA Trans(int64_t rows, int64_t ld, const Number* from, Word* to) {
#if defined(BIGRU_TILES)  // A tile is loaded row by row.
  const int64_t K = NumWords(rows);
  for (int64_t k = 0; k < K; ++k) {
    JoinRows(
        ld, k, rows, [=](int64_t row) { return from + row * ld; }, to + k, K);
  }
  return {to, K, 1};
#else
  return {JoinAllRows(rows, ld, from, to), 1, ld};
#endif
}
// The number of words that both write to `to`.
inline int64_t JoinedSize(int64_t rows, int64_t ld) {
  return kPerWord == 1 ? 0 : NumWords(rows) * ld;
}

// Makes the columns zero that fill the last panel of a packed B [K, N].
inline void ZeroLastPanel(int64_t K, int64_t N, Word* packed) {
  const int64_t panel = PackedSize(K, kNR);
  if (N % kNR) Zero(panel, packed + N / kNR * panel);
}

// Packs B [K, N], whose row k is at row(k).
template <class F>
void PackRows(int64_t K, int64_t N, F row, Word* packed) {
  ZeroLastPanel(K, N, packed);
  for (int64_t n = 0; n < N; n += kNR) {
    const int64_t columns = N - n < kNR ? N - n : kNR;
    for (int64_t k = 0; k < NumWords(K); ++k) {
      JoinRows(
          columns, k, K, [=](int64_t k) { return row(k) + n; },
          packed + n * NumWords(K) + k * kNR);
    }
  }
}

// Interleaves the lower halves of two vectors, and their upper halves.
inline void Interleave(Words a, Words b, Words& lower, Words& upper) {
#if defined(__clang__) || __GNUC__ >= 12
#if defined(__AVX512F__)
  lower = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5,
                                  21, 6, 22, 7, 23);
  upper = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28,
                                  13, 29, 14, 30, 15, 31);
#elif defined(__AVX2__)
  lower = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  upper = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  lower = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  upper = __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
#else
  for (int i = 0; i < kLanes / 2; ++i) {
    lower[2 * i] = a[i], lower[2 * i + 1] = b[i];
    upper[2 * i] = a[kLanes / 2 + i], upper[2 * i + 1] = b[kLanes / 2 + i];
  }
#endif
}

// Transposes kLanes vectors. Each of log2(kLanes) rounds interleaves the first
// half of the vectors with the second half.
template <int round = 1>
void Transpose(Words* vectors) {
  if constexpr (round < kLanes) {
    Words next[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i) {
      Interleave(vectors[i], vectors[kLanes / 2 + i], next[2 * i],
                 next[2 * i + 1]);
    }
    Transpose<2 * round>(next);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) vectors[i] = next[i];
  }
}

// Packs B [K, N], whose column n is at column(n).
template <class F>
void PackColumns(int64_t K, int64_t N, F column, Word* packed) {
  const int64_t whole = K / kPerWord;  // The words without padding.
  ZeroLastPanel(K, N, packed);
  for (int64_t n0 = 0; n0 < N; n0 += kLanes) {
    Word* to = packed + n0 / kNR * PackedSize(K, kNR) + n0 % kNR;
    int64_t k = 0;
    for (; N - n0 >= kLanes && whole - k >= kLanes; k += kLanes) {
      Words vectors[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        __builtin_memcpy(&vectors[i], column(n0 + i) + k * kPerWord,
                         sizeof(Words));
      }
      Transpose(vectors);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        *reinterpret_cast<Words*>(to + (k + i) * kNR) = vectors[i];
      }
    }
    for (int64_t n = 0; n < kLanes && n0 + n < N; ++n) {
      const Number* from = column(n0 + n);
      for (int64_t j = k; j < whole; ++j) {
        to[j * kNR + n] = LoadWord(from + j * kPerWord);
      }
      if (K % kPerWord) {
        Word last = 0;
        __builtin_memcpy(&last, from + K - 1, sizeof(*from));
        to[whole * kNR + n] = last;
      }
    }
  }
}

}  // namespace
}  // namespace bigru::INSTRUCTION_SET
