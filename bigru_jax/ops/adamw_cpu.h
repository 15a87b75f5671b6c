// The interface between adamw_cpu.cc and the code of one instruction set in
// adamw_cpu_kernel.cc.

#pragma once

#include <cstdint>

#include "cpu_kernel.h"

namespace bigru {

// The numbers that all elements of a step share; see adamw.py.
struct AdamwScalars {
  float clip, b1, one_minus_b1, b2, one_minus_b2, eps;
  float mu_correction, nu_correction;  // 1 / (1 - b^t)
};

// Elements of an array. Only the first `num_trained` parameters change.
struct AdamwElements {
  int64_t size, num_trained;
  float rate, decay;
  const float* grads;
  float *params, *mu, *nu;
};

template <class Number>
struct AdamwKernel {
  const char* name;
  bool (*supported)();
  void (*update)(const AdamwScalars&, const AdamwElements&);
};

}  // namespace bigru
