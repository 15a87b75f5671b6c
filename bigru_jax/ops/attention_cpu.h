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
template <class Number>
struct AttentionInputs {
  const Number* h;       // [B, T, F]
  const bool* mask;      // [B, T]
  const Number* kernel;  // [F, A]
  const float* bias;     // [A]
  const float* query;    // [A]
};

template <class Number>
struct AttentionOutputs {
  Number* context;  // [B, F]
  float* weights;   // [B, T]
  Number* u;        // [B, T, A] at real positions; null without a gradient
};

template <class Number>
struct AttentionResiduals {
  const float* weights;
  const Number* u;
  const Number* d_context;  // [B, F], the incoming gradients
  const float* d_weights;   // [B, T]
};

// The gradients. Those of the parameters are sums over one share's examples.
template <class Number>
struct AttentionGradients {
  Number* dh;       // [B, T, F]
  float* d_kernel;  // [F, A]
  float* d_bias;    // [A]
  float* d_query;   // [A]
};

template <class Number>
using AttentionKernel =
    Kernel<Number, AttentionSizes, AttentionInputs<Number>,
           AttentionOutputs<Number>, AttentionResiduals<Number>,
           AttentionGradients<Number>>;

}  // namespace bigru
