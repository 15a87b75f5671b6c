// What gru_cpu.cc hands to the code of one instruction set, gru_cpu_kernel.cc.

#ifndef BIGRU_JAX_OPS_GRU_CPU_H_
#define BIGRU_JAX_OPS_GRU_CPU_H_

#include <cstdint>

#include "cpu_kernel.h"

namespace bigru {

// The axes: T time, B batch, E input features, H hidden units of a direction.
struct GruSizes {
  int64_t T, B, E, H;
};

// A call's arrays, row-major; an axis of 2 is the direction. `scale` is null
// where the state is not scaled, `gates` where no gradient is wanted. `gates`
// are those of real positions alone, by the direction's own steps.
struct GruInputs {
  const float* x;            // [B, T, E]
  const bool* mask;          // [B, T]
  const float* w_input;      // [2, 3H, E], the gates in the order r, z, n
  const float* w_recurrent;  // [2, 3H, H]
  const float* b;            // [2, 3H]
  const float* b_n;          // [2, H]
  const float* h0;           // [2, B, H]
  const float* scale;        // [2, B, H]
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

struct GruGradients {
  float* dx[2];   // [B, T, E], each direction's share
  float* dh0;     // [2, B, H]
  float* dscale;  // [2, B, H]
};

// The examples `first` to `last` in one direction: what one thread does.
struct GruShare {
  int64_t direction, first, last;
};

// The gradients of the weights that one share adds up, transposed: a row for
// each input feature, for each hidden unit, and one for the biases.
struct GruWeightGradients {
  int64_t stride;      // Floats from one row to the next.
  float* d_input;      // [E, stride], columns n, r, z
  float* d_recurrent;  // [H, stride], columns r, z, q
  float* d_bias;       // [stride], columns n, r, z, q
};

// What the forward or the backward pass does before its shares run: it packs
// the weights once for each direction, and each share has its own scratch
// memory. Both sizes are in bytes.
struct GruPreparation {
  int64_t (*packed_size)(const GruSizes&);
  void (*pack)(const GruSizes&, const GruInputs&, int64_t direction,
               const Block& packed);
  int64_t (*scratch_size)(const GruSizes&, const GruShare&);
};

// The functions of one instruction set.
struct GruKernel {
  const char* name;
  bool (*supported)();
  int64_t (*weight_gradient_stride)(const GruSizes&);
  GruPreparation before_forward, before_backward;
  void (*forward)(const GruSizes&, const GruInputs&, const GruOutputs&,
                  const GruShare&, const Block& packed, const Block& scratch);
  void (*backward)(const GruSizes&, const GruInputs&, const GruResiduals&,
                   const GruGradients&, const GruWeightGradients&,
                   const GruShare&, const Block& packed, const Block& scratch);
};

}  // namespace bigru

#endif  // BIGRU_JAX_OPS_GRU_CPU_H_
