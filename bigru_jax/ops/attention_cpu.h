// What attention_cpu.cc hands to the code of one instruction set,
// attention_cpu_kernel.cc.

#ifndef BIGRU_JAX_OPS_ATTENTION_CPU_H_
#define BIGRU_JAX_OPS_ATTENTION_CPU_H_

#include <cstdint>

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
struct Share {
  int64_t first, last;
};

// The functions of one instruction set. `scratch` has room for as many floats
// as the function of that name says, is aligned to 64 bytes, and need not be
// initialized.
struct AttentionKernel {
  const char* name;
  bool (*supported)();
  int64_t (*scratch)(const AttentionSizes&, const Share&);
  void (*forward)(const AttentionSizes&, const AttentionInputs&,
                  const AttentionOutputs&, const Share&, float* scratch);
  void (*backward)(const AttentionSizes&, const AttentionInputs&,
                   const AttentionResiduals&, const AttentionGradients&,
                   const Share&, float* scratch);
};

}  // namespace bigru

#endif  // BIGRU_JAX_OPS_ATTENTION_CPU_H_
