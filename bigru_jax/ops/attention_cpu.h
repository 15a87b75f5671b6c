// The interface between attention_cpu.cc and the code of one instruction set in
// attention_cpu_kernel.cc.

#pragma once

#include <cstdint>

#include "cpu_kernel.h"

namespace bigru {

// The axes are B batch, T time, F features of a state, A features of attention.
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

// The gradients. Those of the parameters are sums over one share's examples.
struct AttentionGradients {
  float* dh;        // [B, T, F]
  float* d_kernel;  // [F, A]
  float* d_bias;    // [A]
  float* d_query;   // [A]
};

using AttentionKernel =
    Kernel<AttentionSizes, AttentionInputs, AttentionOutputs,
           AttentionResiduals, AttentionGradients>;

}  // namespace bigru
