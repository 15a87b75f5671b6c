// AdamW of one instruction set against its equations in double precision, over
// sizes and numbers drawn at random. It is compiled with adamw_cpu_kernel.cc.
// Usage: adamw_cpu_kernel_test [SEEDS]

#include "bigru_jax/ops/adamw_cpu.h"
#include "kernel_test.h"

namespace bigru::INSTRUCTION_SET {
extern const AdamwKernel<Number> kAdamw;
}

struct Case {
  bigru::AdamwScalars s = {0.5f, 0.9f, 0.1f, 0.99f, 0.01f, 1e-3f, 4, 20};
  int64_t size, num_trained;
  float rate = 0.1f, decay = 0.2f;
  Array grads, params, mu, nu;

  explicit Case(unsigned seed) {
    Random random(seed);
    size = random.Size(300);
    num_trained = seed % 2 ? size : random.Size(size);
    for (Array* x : {&grads, &params, &mu, &nu}) *x = random.Floats(size, 1);
    for (float& v : nu) v *= v;
  }
};

struct Results {
  Doubles params, mu, nu;
};

Results Reference(const Case& c) {
  const bigru::AdamwScalars& s = c.s;
  Results out = {Widen(c.params), Widen(c.mu), Widen(c.nu)};
  for (int64_t i = 0; i < c.size; ++i) {
    const double g = double{s.clip} * c.grads[i];
    out.mu[i] = s.b1 * out.mu[i] + s.one_minus_b1 * g;
    out.nu[i] = s.b2 * out.nu[i] + s.one_minus_b2 * g * g;
    if (i >= c.num_trained) continue;
    const double step = out.mu[i] * s.mu_correction /
                        (std::sqrt(out.nu[i] * s.nu_correction) + s.eps);
    out.params[i] -= c.rate * (step + c.decay * out.params[i]);
  }
  return out;
}

Results Run(Case c) {
  bigru::INSTRUCTION_SET::kAdamw.update(
      c.s, {c.size, c.num_trained, c.rate, c.decay, c.grads.data(),
            c.params.data(), c.mu.data(), c.nu.data()});
  return {Widen(c.params), Widen(c.mu), Widen(c.nu)};
}

int main(int count, char** arguments) {
  const bool supported = bigru::INSTRUCTION_SET::kAdamw.supported();
  return RunSeeds(count, arguments, supported, [](int seed) {
    const Case c(seed);
    const Results expected = Reference(c), actual = Run(c);
    // The state is float32 in each dtype.
    return AllEqual(2e-6, {{"params", {actual.params, expected.params}},
                           {"mu", {actual.mu, expected.mu}},
                           {"nu", {actual.nu, expected.nu}}});
  });
}
