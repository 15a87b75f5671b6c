// The packed weights of attention, and the scratch memory of a share.

#pragma once

#include <cstdint>

#include "attention_cpu.h"
#include "cpu_arena-inl.h"
#include "cpu_gemm-inl.h"
#include "cpu_pack-inl.h"

namespace bigru::INSTRUCTION_SET {
namespace {

using Inputs = AttentionInputs<Number>;

// The kernel W [F, A], packed.
struct ForwardWeights {
  ForwardWeights(const AttentionSizes& s, Arena& arena)
      : kernel(arena.Take<Word>(PackedSize(s.F, s.A))) {}

  Word* kernel;
};

// Its transpose, W^T [A, F], packed.
struct BackwardWeights {
  BackwardWeights(const AttentionSizes& s, Arena& arena)
      : kernel(arena.Take<Word>(PackedSize(s.A, s.F))) {}

  Word* kernel;
};

inline void PackForward(const AttentionSizes& s, const Inputs& in, int64_t,
                        const Block& packed) {
  const int64_t A = s.A;
  PackRows(
      s.F, A, [&](int64_t f) { return in.kernel + f * A; },
      Carve<ForwardWeights>(packed, s).kernel);
}

inline void PackBackward(const AttentionSizes& s, const Inputs& in, int64_t,
                         const Block& packed) {
  const int64_t A = s.A;
  PackColumns(
      A, s.F, [&](int64_t f) { return in.kernel + f * A; },
      Carve<BackwardWeights>(packed, s).kernel);
}

struct CommonScratch {
  CommonScratch(const AttentionSizes& s, const Share& share, Arena& arena)
      : states(arena.Take<Number>(kChunk * Stride(s.F))),
        scores(arena.Take<float>((share.last - share.first) * s.T)) {}

  Number* states;  // [kChunk, Stride(F)]
  float* scores;   // [examples, T], or their gradient
};

struct ForwardScratch : CommonScratch {
  ForwardScratch(const AttentionSizes& s, const Share& share, Arena& arena)
      : CommonScratch(s, share, arena),
        arguments(arena.Take<float>(kChunk * Stride(s.A))),
        u(arena.Take<float>(s.A)),
        context(arena.Take<float>(s.F)) {}

  float* arguments;  // [kChunk, Stride(A)], of tanh
  float* u;          // [A]
  float* context;    // [F]
};

struct BackwardScratch : CommonScratch {
  BackwardScratch(const AttentionSizes& s, const Share& share, Arena& arena)
      : CommonScratch(s, share, arena),
        d(arena.Take<Number>(kChunk * Stride(s.A))),
        state_words(arena.Take<Word>(JoinedSize(kChunk, Stride(s.F)))),
        d_words(arena.Take<Word>(JoinedSize(kChunk, Stride(s.A)))),
        dh(arena.Take<float>(kChunk * s.F)) {}

  Number* d;          // [kChunk, Stride(A)], the gradient of tanh's arguments
  Word* state_words;  // The words of `states` and of `d` along the rows
  Word* d_words;
  float* dh;  // [kChunk, F]
};

}  // namespace
}  // namespace bigru::INSTRUCTION_SET
