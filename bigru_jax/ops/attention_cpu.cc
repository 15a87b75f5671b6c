// XLA's custom calls for additive attention on a CPU: checks of the shapes, the
// choice of the instruction set, and threads. The mathematics stands in
// attention_cpu_kernel.cc; attention_cpu.py calls these functions.

#include "attention_cpu.h"

#include "cpu_calls.h"

namespace bigru {

#if defined(__x86_64__)
namespace avx512 {
extern const AttentionKernel kAttention;
}
namespace avx2 {
extern const AttentionKernel kAttention;
}
static const AttentionKernel* const kKernels[] = {&avx512::kAttention,
                                                  &avx2::kAttention};
#else
namespace neon {
extern const AttentionKernel kAttention;
}
static const AttentionKernel* const kKernels[] = {&neon::kAttention};
#endif

namespace {

constexpr int64_t kMostShares = 8;

// Shares of the batch with about as many real positions each. They depend on the
// batch alone, and so do the sums over them, whatever threads there are.
std::vector<Share> Shares(const AttentionSizes& s, const bool* mask) {
  const int64_t count =
      std::clamp<int64_t>(s.B / kExamplesPerTask, 1, kMostShares);
  const int64_t real = std::count(mask, mask + s.B * s.T, true);
  std::vector<Share> shares;
  int64_t first = 0, last = 0, seen = 0;
  for (int64_t i = 1; i < count; ++i) {
    for (; last < s.B && seen * count < i * real; ++last) {
      seen += std::count(mask + last * s.T, mask + (last + 1) * s.T, true);
    }
    shares.push_back({first, last});
    first = last;
  }
  shares.push_back({first, s.B});
  return shares;
}

// The arguments that both calls have, and what they must be.
struct Call {
  AttentionSizes sizes;
  AttentionInputs inputs;
  std::vector<Argument> arguments;

  Call(const Floats& h, const Booleans& mask, const Floats& kernel,
       const Floats& query) {
    const auto h_shape = h.dimensions(), kernel_shape = kernel.dimensions();
    const bool ranks_fit = h_shape.size() == 3 && kernel_shape.size() == 2;
    sizes = ranks_fit ? AttentionSizes{h_shape[0], h_shape[1], h_shape[2],
                                       kernel_shape[1]}
                      : AttentionSizes{-1, -1, -1, -1};
    const auto [B, T, F, A] = sizes;
    arguments = {
        {"h", h_shape, {B, T, F}},
        {"mask", mask.dimensions(), {B, T}},
        {"kernel", kernel_shape, {F, A}},
        {"query", query.dimensions(), {A}},
    };
    inputs = {h.typed_data(), mask.typed_data(), kernel.typed_data(), nullptr,
              query.typed_data()};
  }
};

ffi::Error Forward(ffi::ThreadPool pool, std::string_view instruction_set,
                   Floats h, Booleans mask, Floats kernel, Floats bias,
                   Floats query, Result context, Result weights, Result u) {
  Call call(h, mask, kernel, query);
  const auto [B, T, F, A] = call.sizes;
  const bool saved = u->dimensions().size() != 1;  // Not saved: [0].
  call.arguments.insert(call.arguments.end(),
                        {{"bias", bias.dimensions(), {A}},
                         {"context", context->dimensions(), {B, F}},
                         {"weights", weights->dimensions(), {B, T}},
                         {"u", u->dimensions(),
                          saved ? Dimensions{B, T, A} : Dimensions{0}}});
  if (ffi::Error error = Check(call.arguments); error.failure()) return error;
  const AttentionKernel* found = FindKernel(kKernels, instruction_set);
  if (!found) return UnknownInstructionSet(instruction_set);
  call.inputs.bias = bias.typed_data();
  const AttentionOutputs outputs = {context->typed_data(),
                                    weights->typed_data(),
                                    saved ? u->typed_data() : nullptr};
  return Guarded([&] {
    const auto shares = Shares(call.sizes, call.inputs.mask);
    std::vector<Scratch> scratch;
    for (const Share& share : shares) {
      scratch.push_back(Allocate(found->scratch(call.sizes, share)));
    }
    ParallelFor(pool, shares.size(), [&](int64_t i) {
      found->forward(call.sizes, call.inputs, outputs, shares[i],
                     scratch[i].get());
    });
  });
}

ffi::Error Backward(ffi::ThreadPool pool, std::string_view instruction_set,
                    Floats h, Booleans mask, Floats kernel, Floats query,
                    Floats weights, Floats u, Floats d_context,
                    Floats d_weights, Result dh, Result d_kernel,
                    Result d_bias, Result d_query) {
  Call call(h, mask, kernel, query);
  const auto [B, T, F, A] = call.sizes;
  call.arguments.insert(call.arguments.end(),
                        {{"weights", weights.dimensions(), {B, T}},
                         {"u", u.dimensions(), {B, T, A}},
                         {"d_context", d_context.dimensions(), {B, F}},
                         {"d_weights", d_weights.dimensions(), {B, T}},
                         {"dh", dh->dimensions(), {B, T, F}},
                         {"d_kernel", d_kernel->dimensions(), {F, A}},
                         {"d_bias", d_bias->dimensions(), {A}},
                         {"d_query", d_query->dimensions(), {A}}});
  if (ffi::Error error = Check(call.arguments); error.failure()) return error;
  const AttentionKernel* found = FindKernel(kKernels, instruction_set);
  if (!found) return UnknownInstructionSet(instruction_set);
  const AttentionResiduals residuals = {weights.typed_data(), u.typed_data(),
                                        d_context.typed_data(),
                                        d_weights.typed_data()};
  return Guarded([&] {
    const auto shares = Shares(call.sizes, call.inputs.mask);
    const int64_t parameters = F * A + 2 * A;
    std::vector<Scratch> scratch, others;
    std::vector<AttentionGradients> gradients = {
        {dh->typed_data(), d_kernel->typed_data(), d_bias->typed_data(),
         d_query->typed_data()}};
    for (const Share& share : shares) {
      scratch.push_back(Allocate(found->scratch(call.sizes, share)));
      if (scratch.size() == 1) continue;
      others.push_back(Allocate(parameters));
      float* p = others.back().get();
      gradients.push_back({dh->typed_data(), p, p + F * A, p + F * A + A});
    }
    ParallelFor(pool, shares.size(), [&](int64_t i) {
      found->backward(call.sizes, call.inputs, residuals, gradients[i],
                      shares[i], scratch[i].get());
    });
    for (size_t i = 1; i < gradients.size(); ++i) {
      auto add = [](int64_t n, const float* from, float* to) {
        std::transform(from, from + n, to, to, std::plus<float>());
      };
      add(F * A, gradients[i].d_kernel, gradients[0].d_kernel);
      add(A, gradients[i].d_bias, gradients[0].d_bias);
      add(A, gradients[i].d_query, gradients[0].d_query);
    }
  });
}

}  // namespace
}  // namespace bigru

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    BigruAttentionForward, bigru::Forward,
    xla::ffi::Ffi::Bind()
        .Ctx<xla::ffi::ThreadPool>()
        .Attr<std::string_view>("instruction_set")
        .Arg<bigru::Floats>()    // h
        .Arg<bigru::Booleans>()  // mask
        .Arg<bigru::Floats>()    // kernel
        .Arg<bigru::Floats>()    // bias
        .Arg<bigru::Floats>()    // query
        .Ret<bigru::Floats>()    // context
        .Ret<bigru::Floats>()    // weights
        .Ret<bigru::Floats>());  // u

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    BigruAttentionBackward, bigru::Backward,
    xla::ffi::Ffi::Bind()
        .Ctx<xla::ffi::ThreadPool>()
        .Attr<std::string_view>("instruction_set")
        .Arg<bigru::Floats>()    // h
        .Arg<bigru::Booleans>()  // mask
        .Arg<bigru::Floats>()    // kernel
        .Arg<bigru::Floats>()    // query
        .Arg<bigru::Floats>()    // weights
        .Arg<bigru::Floats>()    // u
        .Arg<bigru::Floats>()    // d_context
        .Arg<bigru::Floats>()    // d_weights
        .Ret<bigru::Floats>()    // dh
        .Ret<bigru::Floats>()    // d_kernel
        .Ret<bigru::Floats>()    // d_bias
        .Ret<bigru::Floats>());  // d_query
