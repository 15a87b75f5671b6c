// The attention of one instruction set against the equations in plain double
// precision loops, over shapes and masks drawn at random. It is compiled with
// attention_cpu_kernel.cc. Usage: attention_cpu_kernel_test [SEEDS]

#include "bigru_jax/ops/attention_cpu.h"
#include "kernel_test.h"

namespace bigru::INSTRUCTION_SET {
extern const AttentionKernel<Number> kAttention;
}

struct Case {
  bigru::AttentionSizes s;
  Array h, kernel, bias, query, d_context, d_weights;
  std::unique_ptr<bool[]> mask;

  explicit Case(unsigned seed) {
    Random random(seed);
    s = {random.Size(40), random.Size(150), random.Size(140),
         random.Size(140)};
    const auto [B, T, F, A] = s;
    h = random.Rounded(B * T * F, 1);
    kernel = random.Rounded(F * A, F);
    bias = random.Floats(A, 1);
    query = random.Floats(A, 1);
    d_context = random.Rounded(B * F, 1);
    d_weights = random.Floats(B * T, 1);
    mask = random.Mask(B * T);
  }
};

struct Results {
  Doubles context, weights, dh, d_kernel, d_bias, d_query;
  explicit Results(const bigru::AttentionSizes& s)
      : context(s.B * s.F),
        weights(s.B * s.T),
        dh(s.B * s.T * s.F),
        d_kernel(s.F * s.A),
        d_bias(s.A),
        d_query(s.A) {}
};

// One example, forwards and backwards.
void Reference(const Case& c, int64_t b, Results& out) {
  const auto [B, T, F, A] = c.s;
  Doubles u(T * A), scores(T), by_weight(T);
  double total = 0, mean = 0;
  for (int64_t t = 0; t < T; ++t) {
    if (!c.mask[b * T + t]) continue;
    for (int64_t j = 0; j < A; ++j) {
      double sum = c.bias[j];
      for (int64_t f = 0; f < F; ++f) {
        sum += c.h[(b * T + t) * F + f] * c.kernel[f * A + j];
      }
      u[t * A + j] = std::tanh(sum);
      scores[t] += u[t * A + j] * c.query[j];
    }
    total += std::exp(scores[t]);
  }
  for (int64_t t = 0; t < T; ++t) {
    const int64_t position = b * T + t;
    if (!c.mask[position]) continue;
    out.weights[position] = std::exp(scores[t]) / total;
    by_weight[t] = c.d_weights[position];
    for (int64_t f = 0; f < F; ++f) {
      out.context[b * F + f] += out.weights[position] * c.h[position * F + f];
      by_weight[t] += c.d_context[b * F + f] * c.h[position * F + f];
    }
    mean += out.weights[position] * by_weight[t];
  }
  for (int64_t t = 0; t < T; ++t) {
    const int64_t position = b * T + t;
    if (!c.mask[position]) continue;
    const double by_score = out.weights[position] * (by_weight[t] - mean);
    for (int64_t f = 0; f < F; ++f) {
      out.dh[position * F + f] +=
          out.weights[position] * c.d_context[b * F + f];
    }
    for (int64_t j = 0; j < A; ++j) {
      const double d =
          by_score * c.query[j] * (1 - u[t * A + j] * u[t * A + j]);
      out.d_query[j] += by_score * u[t * A + j];
      out.d_bias[j] += d;
      for (int64_t f = 0; f < F; ++f) {
        out.dh[position * F + f] += d * c.kernel[f * A + j];
        out.d_kernel[f * A + j] += d * c.h[position * F + f];
      }
    }
  }
}

// Runs the kernel as attention_cpu.cc does, the batch in two shares.
Results Run(const Case& c) {
  const bigru::AttentionKernel<Number>& kernel =
      bigru::INSTRUCTION_SET::kAttention;
  const auto [B, T, F, A] = c.s;
  Results out(c.s);
  const Numbers h = Round(c.h), w = Round(c.kernel);
  const Numbers d_context = Round(c.d_context);
  // The kernel writes all of its results, also those at padding.
  const Number nan = Round(NAN);
  Numbers context(B * F, nan), dh(B * T * F, nan), u(B * T * A, nan);
  Array weights(B * T, NAN);
  const bigru::AttentionInputs<Number> inputs = {
      h.data(), c.mask.get(), w.data(), c.bias.data(), c.query.data()};
  const Memory forward_packed(kernel.before_forward.packed_size(c.s));
  const Memory backward_packed(kernel.before_backward.packed_size(c.s));
  kernel.before_forward.pack(c.s, inputs, 0, forward_packed.block());
  kernel.before_backward.pack(c.s, inputs, 0, backward_packed.block());
  for (int64_t i = 0; i < 2; ++i) {
    const bigru::Share share = {0, i * B / 2, (i + 1) * B / 2};
    Array d_kernel(F * A, NAN), d_bias(A, NAN), d_query(A, NAN);
    // Without and with what a gradient needs.
    for (Number* saved : {static_cast<Number*>(nullptr), u.data()}) {
      kernel.forward(
          c.s, inputs, {context.data(), weights.data(), saved}, share,
          forward_packed.block(),
          Memory(kernel.before_forward.scratch_size(c.s, share)).block());
    }
    kernel.backward(
        c.s, inputs,
        {weights.data(), u.data(), d_context.data(), c.d_weights.data()},
        {dh.data(), d_kernel.data(), d_bias.data(), d_query.data()}, share,
        backward_packed.block(),
        Memory(kernel.before_backward.scratch_size(c.s, share)).block());
    for (int64_t n = 0; n < F * A; ++n) out.d_kernel[n] += d_kernel[n];
    for (int64_t n = 0; n < A; ++n) out.d_bias[n] += d_bias[n];
    for (int64_t n = 0; n < A; ++n) out.d_query[n] += d_query[n];
  }
  out.context = Widen(context);
  out.weights = Widen(weights);
  out.dh = Widen(dh);
  return out;
}

int main(int count, char** arguments) {
  const bool supported = bigru::INSTRUCTION_SET::kAttention.supported();
  return RunSeeds(count, arguments, supported, [](int seed) {
    const Case c(seed);
    Results expected(c.s);
    for (int64_t b = 0; b < c.s.B; ++b) Reference(c, b, expected);
    const Results actual = Run(c);
    return AllEqual(kOutputTolerance,
                    {{"context", {actual.context, expected.context}},
                     {"weights", {actual.weights, expected.weights}}}) &&
           AllEqual(kGradientTolerance,
                    {{"dh", {actual.dh, expected.dh}},
                     {"d_kernel", {actual.d_kernel, expected.d_kernel}},
                     {"d_bias", {actual.d_bias, expected.d_bias}},
                     {"d_query", {actual.d_query, expected.d_query}}});
  });
}
