// The instructions of AMX that the kernels use, in C++, for processors without
// it. It is included before all else, by -include.

#pragma once

#define BIGRU_EMULATED_TILES

#include <immintrin.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig emulated_tiles::LoadConfig
#define _tile_release emulated_tiles::Release
#define _tile_loadd emulated_tiles::Load
#define _tile_stored emulated_tiles::Store
#define _tile_dpbf16ps emulated_tiles::Multiply

namespace emulated_tiles {

// What LDTILECFG reads.
struct Config {
  uint8_t palette, start_row, reserved[14];
  uint16_t bytes_of_row[16];
  uint8_t rows[16];
};
static_assert(sizeof(Config) == 64);

inline thread_local Config config;  // Of palette 0 before and after its use.
inline thread_local uint8_t tiles[8][16][64];

inline void Check(bool valid) {
  if (valid) return;
  std::puts("a tile is used that is not configured");
  std::abort();
}
inline void LoadConfig(const void* from) {
  std::memcpy(&config, from, sizeof(config));
  Check(config.palette == 1);
  std::memset(tiles, 0, sizeof(tiles));
}
inline void Release() { config = {}; }

inline void Load(int tile, const void* from, int64_t stride) {
  Check(config.palette && config.rows[tile]);
  for (int row = 0; row < config.rows[tile]; ++row) {
    std::memcpy(tiles[tile][row], static_cast<const char*>(from) + row * stride,
                config.bytes_of_row[tile]);
  }
}
inline void Store(int tile, void* to, int64_t stride) {
  Check(config.palette && config.rows[tile]);
  for (int row = 0; row < config.rows[tile]; ++row) {
    std::memcpy(static_cast<char*>(to) + row * stride, tiles[tile][row],
                config.bytes_of_row[tile]);
  }
}

inline float Half(const uint8_t* words, int index) {
  uint16_t half;
  std::memcpy(&half, words + 2 * index, sizeof(half));
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// TDPBF16PS: c[m][n] += a[m][2k] b[k][2n] + a[m][2k + 1] b[k][2n + 1]
inline void Multiply(int c, int a, int b) {
  Check(config.palette && config.rows[c] == config.rows[a] &&
        config.rows[b] * 4 == config.bytes_of_row[a] &&
        config.bytes_of_row[b] == config.bytes_of_row[c]);
  for (int m = 0; m < config.rows[c]; ++m) {
    for (int k = 0; k < config.rows[b]; ++k) {
      for (int n = 0; n < config.bytes_of_row[c] / 4; ++n) {
        float sum;
        std::memcpy(&sum, &tiles[c][m][4 * n], sizeof(sum));
        for (int i = 0; i < 2; ++i) {
          sum += Half(tiles[a][m], 2 * k + i) * Half(tiles[b][k], 2 * n + i);
        }
        std::memcpy(&tiles[c][m][4 * n], &sum, sizeof(sum));
      }
    }
  }
}

}  // namespace emulated_tiles
