// XLA's custom calls for additive attention on a CPU: checks of the shapes, the
// choice of the instruction set, and threads. The mathematics is in
// attention_cpu_kernel.cc; attention_cpu.py calls these functions.

#include "attention_cpu.h"

#include "cpu_calls.h"

namespace bigru {

BIGRU_KERNELS(AttentionKernel, kAttention)

namespace {

constexpr int64_t kMaxShares = 8;

// Returns shares of the batch with about equally many real positions. They
// depend on the batch alone, so the sums do not depend on the threads.
std::vector<Share> Shares(const AttentionSizes& s, const bool* mask) {
  const int64_t count =
      std::clamp<int64_t>(s.B / kExamplesPerShare, 1, kMaxShares);
  const int64_t real = std::count(mask, mask + s.B * s.T, true);
  std::vector<Share> shares;
  int64_t first = 0, last = 0, seen = 0;
  for (int64_t i = 1; i < count; ++i) {
    for (; last < s.B && seen * count < i * real; ++last) {
      seen += std::count(mask + last * s.T, mask + (last + 1) * s.T, true);
    }
    shares.push_back({0, first, last});
    first = last;
  }
  shares.push_back({0, first, s.B});
  return shares;
}

// The arguments that both calls have, and the shapes that are expected.
template <class Number>
struct Call {
  AttentionSizes sizes;
  AttentionInputs<Number> inputs;
  std::vector<Argument> arguments;

  Call(const Numbers<Number>& h, const Booleans& mask,
       const Numbers<Number>& kernel, const Floats& query) {
    const int64_t B = Axis(h, 0), T = Axis(h, 1), F = Axis(h, 2);
    const int64_t A = Axis(kernel, 1);
    sizes = {B, T, F, A};
    arguments = {
        {"h", h, {B, T, F}},
        {"mask", mask, {B, T}},
        {"kernel", kernel, {F, A}},
        {"query", query, {A}},
    };
    inputs = {Data<Number>(h), mask.typed_data(), Data<Number>(kernel), nullptr,
              query.typed_data()};
  }
};

template <class Number>
ffi::Error Forward(ffi::ThreadPool pool, InstructionSet instruction_set,
                   Numbers<Number> h, Booleans mask, Numbers<Number> kernel,
                   Floats bias, Floats query, NumbersResult<Number> context,
                   FloatsResult weights, NumbersResult<Number> u) {
  Call<Number> call(h, mask, kernel, query);
  const int64_t B = call.sizes.B, T = call.sizes.T;
  const int64_t F = call.sizes.F, A = call.sizes.A;
  const bool saved = u->dimensions().size() != 1;  // Not saved: [0].
  call.arguments.insert(
      call.arguments.end(),
      {{"bias", bias, {A}},
       {"context", *context, {B, F}},
       {"weights", *weights, {B, T}},
       {"u", *u, saved ? Dimensions{B, T, A} : Dimensions{0}}});
  call.inputs.bias = bias.typed_data();
  const AttentionOutputs<Number> outputs = {Data<Number>(*context),
                                            weights->typed_data(),
                                            saved ? Data<Number>(*u) : nullptr};
  auto run = [&](const AttentionKernel<Number>& code) {
    const auto shares = Shares(call.sizes, call.inputs.mask);
    ForEachShare(pool, code.before_forward, call.sizes, call.inputs, shares,
                 [&](int64_t i, const Block& packed, const Block& scratch) {
                   code.forward(call.sizes, call.inputs, outputs, shares[i],
                                packed, scratch);
                 });
  };
  return Run(Kernels<Number>(), instruction_set, call.arguments, run);
}

template <class Number>
ffi::Error Backward(ffi::ThreadPool pool, InstructionSet instruction_set,
                    Numbers<Number> h, Booleans mask, Numbers<Number> kernel,
                    Floats query, Floats weights, Numbers<Number> u,
                    Numbers<Number> d_context, Floats d_weights,
                    NumbersResult<Number> dh, FloatsResult d_kernel,
                    FloatsResult d_bias, FloatsResult d_query) {
  Call<Number> call(h, mask, kernel, query);
  const int64_t B = call.sizes.B, T = call.sizes.T;
  const int64_t F = call.sizes.F, A = call.sizes.A;
  call.arguments.insert(call.arguments.end(), {{"weights", weights, {B, T}},
                                               {"u", u, {B, T, A}},
                                               {"d_context", d_context, {B, F}},
                                               {"d_weights", d_weights, {B, T}},
                                               {"dh", *dh, {B, T, F}},
                                               {"d_kernel", *d_kernel, {F, A}},
                                               {"d_bias", *d_bias, {A}},
                                               {"d_query", *d_query, {A}}});
  const AttentionResiduals<Number> residuals = {
      weights.typed_data(), Data<Number>(u), Data<Number>(d_context),
      d_weights.typed_data()};
  auto run = [&](const AttentionKernel<Number>& code) {
    const auto shares = Shares(call.sizes, call.inputs.mask);
    Memory memory;
    std::vector<AttentionGradients<Number>> gradients = {
        {Data<Number>(*dh), d_kernel->typed_data(), d_bias->typed_data(),
         d_query->typed_data()}};
    while (gradients.size() < shares.size()) {
      float* const p = memory.Allocate<float>(F * A + 2 * A);
      gradients.push_back({Data<Number>(*dh), p, p + F * A, p + F * A + A});
    }
    ForEachShare(pool, code.before_backward, call.sizes, call.inputs, shares,
                 [&](int64_t i, const Block& packed, const Block& scratch) {
                   code.backward(call.sizes, call.inputs, residuals,
                                 gradients[i], shares[i], packed, scratch);
                 });
    for (size_t i = 1; i < gradients.size(); ++i) {
      auto add = [](int64_t n, const float* from, float* to) {
        std::transform(from, from + n, to, to, std::plus<float>());
      };
      add(F * A, gradients[i].d_kernel, gradients[0].d_kernel);
      add(A, gradients[i].d_bias, gradients[0].d_bias);
      add(A, gradients[i].d_query, gradients[0].d_query);
    }
  };
  return Run(Kernels<Number>(), instruction_set, call.arguments, run);
}

}  // namespace
}  // namespace bigru

XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruAttentionForward_float32,
                              bigru::Forward<float>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruAttentionBackward_float32,
                              bigru::Backward<float>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruAttentionForward_bfloat16,
                              bigru::Forward<bigru::BFloat16>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruAttentionBackward_bfloat16,
                              bigru::Backward<bigru::BFloat16>);
