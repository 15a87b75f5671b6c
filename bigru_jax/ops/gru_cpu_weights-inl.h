// A direction's weights, packed for the products of gru_cpu_kernel.cc.

#pragma once

#include <cstdint>

#include "cpu_arena-inl.h"
#include "cpu_gemm-inl.h"
#include "cpu_pack-inl.h"
#include "gru_cpu.h"

namespace bigru::INSTRUCTION_SET {
namespace {

using Inputs = GruInputs<Number>;

struct ForwardWeights {
  ForwardWeights(const GruSizes& s, Arena& arena)
      : input(arena.Take<Word>(PackedSize(s.E, 3 * s.H))),
        recurrent(arena.Take<Word>(PackedSize(s.H, 3 * s.H))),
        bias(arena.Take<float>(4 * s.H)) {}

  Word* input;      // W_i^T [E, 3H], columns n, r, z
  Word* recurrent;  // W_h^T [H, 3H], columns r, z, q
  float* bias;      // [4H], of n, r, z and q
};

struct BackwardWeights {
  BackwardWeights(const GruSizes& s, Arena& arena)
      : input(arena.Take<Word>(PackedSize(3 * s.H, s.E))),
        recurrent(arena.Take<Word>(PackedSize(3 * s.H, s.H))) {}

  Word* input;      // W_i [3H, E], rows n, r, z
  Word* recurrent;  // W_h [3H, H], rows r, z, q
};

// The rows of a direction's W_i in the order n, r, z, and the rows of its W_h.
inline auto InputRows(const GruSizes& s, const Inputs& in,
                      int64_t direction) {
  const int64_t E = s.E, H = s.H;
  const Number* w = in.w_input + direction * 3 * H * E;
  return [=](int64_t row) { return w + (row + 2 * H) % (3 * H) * E; };
}
inline auto RecurrentRows(const GruSizes& s, const Inputs& in,
                          int64_t direction) {
  const int64_t H = s.H;
  const Number* w = in.w_recurrent + direction * 3 * H * H;
  return [=](int64_t row) { return w + row * H; };
}

inline void PackForward(const GruSizes& s, const Inputs& in,
                        int64_t direction, const Block& packed) {
  const int64_t H = s.H;
  const auto w = Carve<ForwardWeights>(packed, s);
  PackColumns(s.E, 3 * H, InputRows(s, in, direction), w.input);
  PackColumns(H, 3 * H, RecurrentRows(s, in, direction), w.recurrent);
  const float* b = in.b + direction * 3 * H;
  Copy(H, b + 2 * H, w.bias);
  Copy(2 * H, b, w.bias + H);
  Copy(H, in.b_n + direction * H, w.bias + 3 * H);
}

inline void PackBackward(const GruSizes& s, const Inputs& in,
                         int64_t direction, const Block& packed) {
  const auto w = Carve<BackwardWeights>(packed, s);
  PackRows(3 * s.H, s.E, InputRows(s, in, direction), w.input);
  PackRows(3 * s.H, s.H, RecurrentRows(s, in, direction), w.recurrent);
}

}  // namespace
}  // namespace bigru::INSTRUCTION_SET
