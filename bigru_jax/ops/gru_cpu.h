// What gru_cpu.cc hands to the code of one instruction set, gru_cpu_kernel.cc.

#ifndef BIGRU_JAX_OPS_GRU_CPU_H_
#define BIGRU_JAX_OPS_GRU_CPU_H_

#include <cstdint>

namespace bigru {

// The axes: T time, B batch, E input features, H hidden units of a direction.
struct Sizes {
  int64_t T, B, E, H;
};

// A call's arrays, row-major; an axis of 2 is the direction. `scale` is null
// where the state is not scaled, `gates` where no gradient is wanted. `gates`
// are those of real positions alone, by the direction's own steps.
struct Inputs {
  const float* x;            // [B, T, E]
  const bool* mask;          // [B, T]
  const float* w_input;      // [2, 3H, E], the gates in the order r, z, n
  const float* w_recurrent;  // [2, 3H, H]
  const float* b;            // [2, 3H]
  const float* b_n;          // [2, H]
  const float* h0;           // [2, B, H]
  const float* scale;        // [2, B, H]
};

struct Outputs {
  float* h;      // [B, T, 2H]
  float* gates;  // [2, T, B, 4H]: n, r, z and q
};

struct Residuals {
  const float* h;
  const float* gates;
  const float* dh;  // [B, T, 2H], the incoming gradient
};

struct Gradients {
  float* dx[2];   // [B, T, E], each direction's share
  float* dh0;     // [2, B, H]
  float* dscale;  // [2, B, H]
};

// The examples `first` to `last` in one direction: what one thread does.
struct Task {
  int64_t direction, first, last;
};

// The gradients of the weights that one task adds up, transposed: a row for each
// input feature, for each hidden unit, and one for the biases. The kernel says
// how many floats a row takes, its stride.
struct WeightGradients {
  float* d_input;      // [E, stride], columns n, r, z
  float* d_recurrent;  // [H, stride], columns r, z, q
  float* d_bias;       // [stride], columns n, r, z, q
};

// The functions of one instruction set. `scratch` has room for as many floats
// as the function of that name says, is aligned to 64 bytes, and need not be
// initialized.
struct Kernel {
  const char* name;
  bool (*supported)();
  int64_t (*scratch)(const Sizes&, int64_t examples);
  int64_t (*stride)(const Sizes&);
  void (*forward)(const Sizes&, const Inputs&, const Outputs&, const Task&,
                  float* scratch);
  void (*backward)(const Sizes&, const Inputs&, const Residuals&,
                   const Gradients&, const WeightGradients&, const Task&,
                   float* scratch);
};

}  // namespace bigru

#endif  // BIGRU_JAX_OPS_GRU_CPU_H_
