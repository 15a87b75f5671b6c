// What attention_cpu.cc hands to the code of one instruction set,
// attention_cpu_kernel.cc.

#ifndef BIGRU_JAX_OPS_ATTENTION_CPU_H_
#define BIGRU_JAX_OPS_ATTENTION_CPU_H_

#include <cstdint>

#include "cpu_kernel.h"

namespace bigru {

// The axes: B batch, T time, F features of a state, A features of attention.
struct AttentionSizes {
  int64_t B, T, F, A;
};

// A call's arrays, row-major.
struct AttentionInputs {
  const float* h;       // [B, T, F]
  const bool* mask;     // [B, T]
  const float* kernel;  // [F, A]
  const float* bias;    // [A]
  const float* query;   // [A]
};

struct AttentionOutputs {
  float* context;  // [B, F]
  float* weights;  // [B, T]
  float* u;        // [B, T, A] at real positions; null without a gradient
};

struct AttentionResiduals {
  const float* weights;
  const float* u;
  const float* d_context;  // [B, F], the incoming gradients
  const float* d_weights;  // [B, T]
};

// The gradients; those of the parameters are of the examples at hand alone.
struct AttentionGradients {
  float* dh;        // [B, T, F]
  float* d_kernel;  // [F, A]
  float* d_bias;    // [A]
  float* d_query;   // [A]
};

// The examples `first` to `last`: what one thread does.
struct AttentionShare {
  int64_t first, last;
};

// What the forward or the backward pass does before its shares run: it packs
// the kernel W once, and each share has its own scratch memory. Both sizes are
// in bytes.
struct AttentionPreparation {
  int64_t (*packed_size)(const AttentionSizes&);
  void (*pack)(const AttentionSizes&, const AttentionInputs&,
               const Block& packed);
  int64_t (*scratch_size)(const AttentionSizes&, const AttentionShare&);
};

// The functions of one instruction set.
struct AttentionKernel {
  const char* name;
  bool (*supported)();
  AttentionPreparation before_forward, before_backward;
  void (*forward)(const AttentionSizes&, const AttentionInputs&,
                  const AttentionOutputs&, const AttentionShare&,
                  const Block& packed, const Block& scratch);
  void (*backward)(const AttentionSizes&, const AttentionInputs&,
                   const AttentionResiduals&, const AttentionGradients&,
                   const AttentionShare&, const Block& packed,
                   const Block& scratch);
};

}  // namespace bigru

#endif  // BIGRU_JAX_OPS_ATTENTION_CPU_H_
