// What gru_cpu.cc hands to the code of one instruction set, gru_cpu_kernel.cc.

#pragma once

#include <cstdint>

#include "cpu_kernel.h"

namespace bigru {

// The axes: T time, B batch, E input features, H hidden units of a direction.
struct GruSizes {
  int64_t T, B, E, H;
};

// A call's arrays, row-major; an axis of 2 is the direction. `keep`, the
// recurrent mask, is null where there is none, `gates` where no gradient is
// wanted. `gates`
// are those of real positions alone, by the direction's own steps.
struct GruInputs {
  const float* x;            // [B, T, E]
  const bool* mask;          // [B, T]
  const float* w_input;      // [2, 3H, E], the gates in the order r, z, n
  const float* w_recurrent;  // [2, 3H, H]
  const float* b;            // [2, 3H]
  const float* b_n;          // [2, H]
  const float* h0;           // [2, B, H]
  const float* keep;         // [2, B, H]
};

struct GruOutputs {
  float* h;      // [B, T, 2H]
  float* gates;  // [2, T, B, 4H]: n, r, z and q
};

struct GruResiduals {
  const float* h;
  const float* gates;
  const float* dh;  // [B, T, 2H], the incoming gradient
};

// The gradients. Those of the weights are what one share adds up, transposed: a
// row for each input feature, for each hidden unit, and one for the biases.
struct GruGradients {
  float* dx[2];        // [B, T, E], each direction's share
  float* dh0;          // [2, B, H]
  float* dkeep;        // [2, B, H]
  int64_t stride;      // Floats from one row to the next.
  float* d_input;      // [E, stride], columns n, r, z
  float* d_recurrent;  // [H, stride], columns r, z, q
  float* d_bias;       // [stride], columns n, r, z, q
};

using GruKernel =
    Kernel<GruSizes, GruInputs, GruOutputs, GruResiduals, GruGradients>;

}  // namespace bigru
