// The scratch memory of a share, forwards and backwards.

#pragma once

#include <cstdint>

#include "cpu_arena-inl.h"
#include "cpu_gemm-inl.h"
#include "cpu_pack-inl.h"
#include "gru_cpu.h"
#include "gru_cpu_steps-inl.h"

namespace bigru::INSTRUCTION_SET {
namespace {

// The distances between the rows of inputs and of gates, and from x to s.
inline int64_t StateColumn(const GruSizes& s) {
  return NumWords(s.E) * kPerWord;
}
inline int64_t InputStride(const GruSizes& s) {
  return StateColumn(s) + NumWords(s.H) * kPerWord;
}
inline int64_t GateStride(const GruSizes& s) { return Stride(4 * s.H); }

struct CommonScratch {
  CommonScratch(const GruSizes& s, const Share& share, Arena& arena)
      : steps(s, share, arena),
        inputs(arena.Take<Number>(steps.capacity() * InputStride(s))) {}

  Steps steps;
  Number* inputs;  // [capacity, InputStride]
};

struct ForwardScratch : CommonScratch {
  ForwardScratch(const GruSizes& s, const Share& share, Arena& arena)
      : CommonScratch(s, share, arena),
        gates(arena.Take<float>(steps.capacity() * GateStride(s))),
        states(arena.Take<float>(2 * steps.NumExamples() * s.H)) {}

  float* gates;   // [capacity, GateStride], the gates' pre-activations
  float* states;  // [2, examples, H], before a step and after it, in turn
};

struct BackwardScratch : CommonScratch {
  BackwardScratch(const GruSizes& s, const Share& share, Arena& arena)
      : CommonScratch(s, share, arena),
        gates(arena.Take<Number>(steps.capacity() * GateStride(s))),
        input_words(
            arena.Take<Word>(JoinedSize(steps.capacity(), InputStride(s)))),
        gate_words(
            arena.Take<Word>(JoinedSize(steps.capacity(), GateStride(s)))),
        carry(arena.Take<float>(steps.NumExamples() * s.H)),
        dh_z(arena.Take<float>(steps.NumExamples() * s.H)),
        ds(arena.Take<float>(steps.NumExamples() * s.H)),
        dx(arena.Take<float>(steps.capacity() * s.E)),
        zeros(arena.Take<float>(s.E > s.H ? s.E : s.H)) {}

  Number* gates;      // [capacity, GateStride], the gates' gradients
  Word* input_words;  // The words of `inputs` and of `gates` along the rows
  Word* gate_words;
  float* carry;  // [examples, H], the gradient by h_{t-1}
  float* dh_z;   // [examples, H], one row per real position of a step
  float* ds;     // [examples, H], one row per real position of a step
  float* dx;     // [capacity, E]
  float* zeros;  // [max(E, H)]
};

}  // namespace
}  // namespace bigru::INSTRUCTION_SET
