// Whole tiles of a product by AMX, the matrix unit of Intel's Xeons.
//
// A tile register has 16 rows of 16 words. Memory is as for the microkernel:
// A row by row, and B in the words of a packed panel.

#pragma once

#if defined(__AMX_BF16__) || defined(__AMXBF16__)  // Of GCC, and of Clang.
#define BIGRU_TILES

#include <cpuid.h>
#include <immintrin.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdint>

namespace bigru::INSTRUCTION_SET {
namespace {

constexpr int64_t kTile = 16;

// Returns whether the processor has AMX for bfloat16, and Linux lets this
// process use it, for which it must be asked.
inline bool SupportsTiles() {
#if defined(BIGRU_EMULATED_TILES)
  return true;
#elif defined(__linux__)
  constexpr unsigned kTileAndBf16 = 1u << 24 | 1u << 22;
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
         (d & kTileAndBf16) == kTileAndBf16 &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

// Makes all tile registers of this thread 16 x 16 words for its lifetime.
class Tiles {
 public:
  Tiles() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t bytes_of_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } const configuration;
    _tile_loadconfig(&configuration);
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
};

// C [M, 4 kTile] = C0 + A [M, K] B [K, 4 kTile], where K counts words; M and K
// are multiples of kTile, and lda, ldb, ldc0 and ldc count words.
inline void MultiplyTiles(int64_t M, int64_t K, const void* a, int64_t lda,
                          const void* b, int64_t ldb, const float* c0,
                          int64_t ldc0, float* c, int64_t ldc) {
  const auto* a_words = static_cast<const int32_t*>(a);
  const auto* b_words = static_cast<const int32_t*>(b);
  asm volatile("" ::: "memory");  // GCC's intrinsics do not say what they read.
  for (int64_t m = 0; m < M; m += kTile) {
    _tile_loadd(0, c0 + m * ldc0 + 0 * kTile, 4 * ldc0);
    _tile_loadd(1, c0 + m * ldc0 + 1 * kTile, 4 * ldc0);
    _tile_loadd(2, c0 + m * ldc0 + 2 * kTile, 4 * ldc0);
    _tile_loadd(3, c0 + m * ldc0 + 3 * kTile, 4 * ldc0);
    for (int64_t k = 0; k < K; k += kTile) {
      const int32_t* b_row = b_words + k * ldb;
      _tile_loadd(4, a_words + m * lda + k, 4 * lda);
      _tile_loadd(5, b_row + 0 * kTile, 4 * ldb);
      _tile_dpbf16ps(0, 4, 5);
      _tile_loadd(6, b_row + 1 * kTile, 4 * ldb);
      _tile_dpbf16ps(1, 4, 6);
      _tile_loadd(5, b_row + 2 * kTile, 4 * ldb);
      _tile_dpbf16ps(2, 4, 5);
      _tile_loadd(6, b_row + 3 * kTile, 4 * ldb);
      _tile_dpbf16ps(3, 4, 6);
    }
    _tile_stored(0, c + m * ldc + 0 * kTile, 4 * ldc);
    _tile_stored(1, c + m * ldc + 1 * kTile, 4 * ldc);
    _tile_stored(2, c + m * ldc + 2 * kTile, 4 * ldc);
    _tile_stored(3, c + m * ldc + 3 * kTile, 4 * ldc);
  }
  asm volatile("" ::: "memory");
}

}  // namespace
}  // namespace bigru::INSTRUCTION_SET

#else

namespace bigru::INSTRUCTION_SET {
namespace {

inline bool SupportsTiles() { return true; }  // None are needed.

struct Tiles {
  Tiles() {}
};

}  // namespace
}  // namespace bigru::INSTRUCTION_SET

#endif
