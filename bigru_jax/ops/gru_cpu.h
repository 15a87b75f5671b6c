// The interface between gru_cpu.cc and the code of one instruction set in
// gru_cpu_kernel.cc.

#pragma once

#include <cstdint>

#include "cpu_kernel.h"

namespace bigru {

// The axes are T time, B batch, E input features, and H hidden units of a
// direction.
struct GruSizes {
  int64_t T, B, E, H;
};

// A call's arrays, row-major; an axis of size 2 is the direction. `keep`, the
// recurrent mask, may be null, and `gates` is null without a gradient. `gates`
// is filled at real positions only and indexed by the direction's own steps.
template <class Number>
struct GruInputs {
  const Number* x;            // [B, T, E]
  const bool* mask;           // [B, T]
  const Number* w_input;      // [2, 3H, E], the gates in the order r, z, n
  const Number* w_recurrent;  // [2, 3H, H]
  const float* b;             // [2, 3H]
  const float* b_n;           // [2, H]
  const Number* h0;           // [2, B, H]
  const float* keep;          // [2, B, H]
};

template <class Number>
struct GruOutputs {
  Number* h;      // [B, T, 2H]
  Number* gates;  // [2, T, B, 4H]: n, r, z and q
};

template <class Number>
struct GruResiduals {
  const Number* h;
  const Number* gates;
  const Number* dh;  // [B, T, 2H], the incoming gradient
};

// The gradients. Those of the weights are one share's sums, transposed: one row
// per input feature, one per hidden unit, and one for the biases.
template <class Number>
struct GruGradients {
  Number* dx[2];       // Each direction's part, [T, B, dx_stride] at its own
  int64_t dx_stride;   // steps, which may be the memory of its gates.
  float* dh0;          // [2, B, H]
  float* dkeep;        // [2, B, H]
  int64_t stride;      // The distance between rows, in floats.
  float* d_input;      // [E, stride], columns n, r, z
  float* d_recurrent;  // [H, stride], columns r, z, q
  float* d_bias;       // [stride], columns n, r, z, q
};

template <class Number>
using GruKernel =
    Kernel<Number, GruSizes, GruInputs<Number>, GruOutputs<Number>,
           GruResiduals<Number>, GruGradients<Number>>;

}  // namespace bigru
