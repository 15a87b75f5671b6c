// The elementwise part of a GRU at one position, forwards and backwards.

#pragma once

#include <cstdint>

#include "cpu_simd-inl.h"

namespace bigru::INSTRUCTION_SET {
namespace {

// Computes the state that follows the previous one, as a float and as a number,
// and, unless `gates` is null, the gates n, r, z, q from their pre-activations.
inline void Cell(int64_t H, const float* arguments, const float* previous,
                 float* state, Number* h, Number* gates) {
  ForEachBlock(H, [=](auto simd, int64_t j) {
    const auto r = simd.Sigmoid(simd.Load(arguments + H + j));
    const auto z = simd.Sigmoid(simd.Load(arguments + 2 * H + j));
    const auto q = simd.Load(arguments + 3 * H + j);
    const auto n = simd.Tanh(simd.Load(arguments + j) + r * q);
    const auto next = (1 - z) * n + z * simd.Load(previous + j);
    simd.Store(state + j, next);
    simd.Store(h + j, next);
    if (gates) {
      simd.Store(gates + j, n);
      simd.Store(gates + H + j, r);
      simd.Store(gates + 2 * H + j, z);
      simd.Store(gates + 3 * H + j, q);
    }
  });
}

// Computes the gradients of the pre-activations, and dh z, the part of dh that
// bypasses the gates to the previous state. dh is the sum of carry and dy.
inline void CellGradient(int64_t H, const Number* gates, const Number* previous,
                         const float* carry, const Number* dy, Number* d_gates,
                         float* dh_z) {
  ForEachBlock(H, [=](auto simd, int64_t j) {
    const auto n = simd.Load(gates + j);
    const auto r = simd.Load(gates + H + j);
    const auto z = simd.Load(gates + 2 * H + j);
    const auto q = simd.Load(gates + 3 * H + j);
    const auto dh = simd.Load(carry + j) + simd.Load(dy + j);
    const auto d_n = dh * (1 - z) * (1 - n * n);
    const auto d_q = d_n * r;
    simd.Store(d_gates + j, d_n);
    simd.Store(d_gates + H + j, d_q * q * (1 - r));
    simd.Store(d_gates + 2 * H + j,
               dh * (simd.Load(previous + j) - n) * z * (1 - z));
    simd.Store(d_gates + 3 * H + j, d_q);
    simd.Store(dh_z + j, dh * z);
  });
}

// Computes dh', the gradient of the previous state, from dh z and ds, that of
// the state that was fed, and adds to the gradient of keep, unless it is null.
inline void PreviousStateGradient(int64_t H, const float* __restrict dh_z,
                                  const float* __restrict ds,
                                  const Number* previous, const float* keep,
                                  float* dkeep, float* dh) {
  if (!keep) {
    for (int64_t j = 0; j < H; ++j) dh[j] = dh_z[j] + ds[j];
    return;
  }
  ForEachDisjointBlock(H, [=](auto simd, int64_t j) {
    simd.Store(dkeep + j, simd.Load(dkeep + j) +
                              simd.Load(ds + j) * simd.Load(previous + j));
  });
  for (int64_t j = 0; j < H; ++j) dh[j] = dh_z[j] + ds[j] * keep[j];
}

}  // namespace
}  // namespace bigru::INSTRUCTION_SET
