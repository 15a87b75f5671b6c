// XLA's custom calls for additive attention on a CPU: checks of the shapes, the
// choice of the instruction set, and threads. The mathematics is in
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

constexpr int64_t kMaxShares = 8;

// Shares of the batch with about as many real positions each. They depend on
// the batch alone, and so do the sums over them, whatever threads there are.
std::vector<AttentionShare> Shares(const AttentionSizes& s, const bool* mask) {
  const int64_t count =
      std::clamp<int64_t>(s.B / kExamplesPerShare, 1, kMaxShares);
  const int64_t real = std::count(mask, mask + s.B * s.T, true);
  std::vector<AttentionShare> shares;
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
    const int64_t B = Axis(h_shape, 0), T = Axis(h_shape, 1);
    const int64_t F = Axis(h_shape, 2), A = Axis(kernel_shape, 1);
    sizes = {B, T, F, A};
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

// Runs run(i, packed, scratch) for the shares. The first one to begin packs the
// kernel W, and the others wait for it.
template <class F>
void ForEachShare(ffi::ThreadPool& pool, const AttentionPreparation& prepare,
                  const Call& call, const std::vector<AttentionShare>& shares,
                  F run) {
  Memory memory;
  const Block packed = memory.Allocate(prepare.packed_size(call.sizes));
  std::vector<Block> scratch;
  for (const AttentionShare& share : shares) {
    scratch.push_back(memory.Allocate(prepare.scratch_size(call.sizes, share)));
  }
  std::once_flag is_packed;
  ParallelFor(pool, shares.size(), [&](int64_t i) {
    std::call_once(is_packed,
                   [&] { prepare.pack(call.sizes, call.inputs, packed); });
    run(i, packed, scratch[i]);
  });
}

ffi::Error Forward(ffi::ThreadPool pool, std::string_view instruction_set,
                   Floats h, Booleans mask, Floats kernel, Floats bias,
                   Floats query, Result context, Result weights, Result u) {
  Call call(h, mask, kernel, query);
  const int64_t B = call.sizes.B, T = call.sizes.T;
  const int64_t F = call.sizes.F, A = call.sizes.A;
  const bool saved = u->dimensions().size() != 1;  // Not saved: [0].
  call.arguments.insert(
      call.arguments.end(),
      {{"bias", bias.dimensions(), {A}},
       {"context", context->dimensions(), {B, F}},
       {"weights", weights->dimensions(), {B, T}},
       {"u", u->dimensions(), saved ? Dimensions{B, T, A} : Dimensions{0}}});
  if (ffi::Error error = Check(call.arguments); error.failure()) return error;
  const AttentionKernel* functions = FindKernel(kKernels, instruction_set);
  if (!functions) return UnknownInstructionSet(instruction_set);
  call.inputs.bias = bias.typed_data();
  const AttentionOutputs outputs = {context->typed_data(),
                                    weights->typed_data(),
                                    saved ? u->typed_data() : nullptr};
  return Guarded([&] {
    const auto shares = Shares(call.sizes, call.inputs.mask);
    ForEachShare(pool, functions->before_forward, call, shares,
                 [&](int64_t i, const Block& packed, const Block& scratch) {
                   functions->forward(call.sizes, call.inputs, outputs,
                                      shares[i], packed, scratch);
                 });
  });
}

ffi::Error Backward(ffi::ThreadPool pool, std::string_view instruction_set,
                    Floats h, Booleans mask, Floats kernel, Floats query,
                    Floats weights, Floats u, Floats d_context,
                    Floats d_weights, Result dh, Result d_kernel, Result d_bias,
                    Result d_query) {
  Call call(h, mask, kernel, query);
  const int64_t B = call.sizes.B, T = call.sizes.T;
  const int64_t F = call.sizes.F, A = call.sizes.A;
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
  const AttentionKernel* functions = FindKernel(kKernels, instruction_set);
  if (!functions) return UnknownInstructionSet(instruction_set);
  const AttentionResiduals residuals = {weights.typed_data(), u.typed_data(),
                                        d_context.typed_data(),
                                        d_weights.typed_data()};
  return Guarded([&] {
    const auto shares = Shares(call.sizes, call.inputs.mask);
    Memory memory;
    std::vector<AttentionGradients> gradients = {
        {dh->typed_data(), d_kernel->typed_data(), d_bias->typed_data(),
         d_query->typed_data()}};
    while (gradients.size() < shares.size()) {
      float* const p = memory.AllocateFloats(F * A + 2 * A);
      gradients.push_back({dh->typed_data(), p, p + F * A, p + F * A + A});
    }
    ForEachShare(pool, functions->before_backward, call, shares,
                 [&](int64_t i, const Block& packed, const Block& scratch) {
                   functions->backward(call.sizes, call.inputs, residuals,
                                       gradients[i], shares[i], packed,
                                       scratch);
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

XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruAttentionForward, bigru::Forward,
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

XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruAttentionBackward, bigru::Backward,
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
