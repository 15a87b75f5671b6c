// AdamW for one instruction set. With g = clip * gradient, at step t:
//
//   mu = b1 mu + (1 - b1) g
//   nu = b2 nu + (1 - b2) g^2
//   p = p - rate (mu / (1 - b1^t) / (sqrt(nu / (1 - b2^t)) + eps) + decay p)

#include "adamw_cpu.h"
#include "cpu_simd-inl.h"

namespace bigru::INSTRUCTION_SET {
namespace {

template <bool kTrained>
void Update(const AdamwScalars s, const float rate, const float decay,
            int64_t first, int64_t last, const float* __restrict grads,
            float* __restrict params, float* __restrict mu,
            float* __restrict nu) {
  for (int64_t i = first; i < last; ++i) {
    const float g = s.clip * grads[i];
    const float m = s.b1 * mu[i] + s.one_minus_b1 * g;
    const float v = s.b2 * nu[i] + s.one_minus_b2 * (g * g);
    mu[i] = m;
    nu[i] = v;
    if constexpr (kTrained) {
      const float root = __builtin_sqrtf(v * s.nu_correction);
      const float p = params[i];
      params[i] =
          p - rate * (m * s.mu_correction / (root + s.eps) + decay * p);
    }
  }
}

void UpdateElements(const AdamwScalars& scalars, const AdamwElements& e) {
  Update<true>(scalars, e.rate, e.decay, 0, e.num_trained, e.grads, e.params,
               e.mu, e.nu);
  Update<false>(scalars, e.rate, e.decay, e.num_trained, e.size, e.grads,
                e.params, e.mu, e.nu);
}

}  // namespace

extern const AdamwKernel<Number> kAdamw = {
    BIGRU_STRING(INSTRUCTION_SET),
    Supported,
    UpdateElements,
};

}  // namespace bigru::INSTRUCTION_SET
