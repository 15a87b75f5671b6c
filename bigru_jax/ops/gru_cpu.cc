// XLA's custom calls for the bidirectional GRU on a CPU: checks of the shapes,
// the choice of the instruction set, and threads. The mathematics is in
// gru_cpu_kernel.cc; gru_cpu.py calls these functions.

#include "gru_cpu.h"

#include "cpu_calls.h"

namespace bigru {

#if defined(__x86_64__)
namespace avx512 {
extern const GruKernel kGru;
}
namespace avx2 {
extern const GruKernel kGru;
}
static const GruKernel* const kKernels[] = {&avx512::kGru, &avx2::kGru};
#else
namespace neon {
extern const GruKernel kGru;
}
static const GruKernel* const kKernels[] = {&neon::kGru};
#endif

namespace {

// Each direction over each part of the batch.
std::vector<GruShare> Shares(ffi::ThreadPool& pool, int64_t batch) {
  const int64_t threads = std::max<int64_t>(pool.num_threads(), 1);
  const int64_t parts = std::clamp<int64_t>(
      (threads + 1) / 2, 1, std::max<int64_t>(batch / kExamplesPerShare, 1));
  std::vector<GruShare> shares;
  for (int64_t part = 0; part < parts; ++part) {
    for (int64_t direction = 0; direction < 2; ++direction) {
      shares.push_back(
          {direction, part * batch / parts, (part + 1) * batch / parts});
    }
  }
  return shares;
}

// The arguments that both calls have, and what they must be.
struct Call {
  GruSizes sizes;
  GruInputs inputs;
  std::vector<Argument> arguments;

  Call(const Floats& x, const Booleans& mask, const Floats& w_input,
       const Floats& w_recurrent, const Floats& h0, const Floats& scale) {
    const auto x_shape = x.dimensions(), w_shape = w_recurrent.dimensions();
    const int64_t B = Axis(x_shape, 0), T = Axis(x_shape, 1);
    const int64_t E = Axis(x_shape, 2), H = Axis(w_shape, 2);
    const bool scaled = scale.dimensions().size() != 1;  // Absent: [0].
    sizes = {T, B, E, H};
    arguments = {
        {"x", x_shape, {B, T, E}},
        {"mask", mask.dimensions(), {B, T}},
        {"w_recurrent", w_shape, {2, 3 * H, H}},
        {"w_input", w_input.dimensions(), {2, 3 * H, E}},
        {"h0", h0.dimensions(), {2, B, H}},
        {"scale", scale.dimensions(),
         scaled ? Dimensions{2, B, H} : Dimensions{0}},
    };
    inputs = {x.typed_data(),
              mask.typed_data(),
              w_input.typed_data(),
              w_recurrent.typed_data(),
              nullptr,
              nullptr,
              h0.typed_data(),
              scaled ? scale.typed_data() : nullptr};
  }
};

// Runs run(i, packed, scratch) for the shares. The first one of each direction
// to begin packs its weights, and the others wait for them.
template <class F>
void ForEachShare(ffi::ThreadPool& pool, const GruPreparation& prepare,
                  const Call& call, const std::vector<GruShare>& shares,
                  F run) {
  Memory memory;
  Block packed[2];
  for (Block& block : packed) {
    block = memory.Allocate(prepare.packed_size(call.sizes));
  }
  std::vector<Block> scratch;
  for (const GruShare& share : shares) {
    scratch.push_back(memory.Allocate(prepare.scratch_size(call.sizes, share)));
  }
  std::once_flag is_packed[2];
  ParallelFor(pool, shares.size(), [&](int64_t i) {
    const int64_t direction = shares[i].direction;
    std::call_once(is_packed[direction], [&] {
      prepare.pack(call.sizes, call.inputs, direction, packed[direction]);
    });
    run(i, packed[direction], scratch[i]);
  });
}

ffi::Error Forward(ffi::ThreadPool pool, std::string_view instruction_set,
                   Floats x, Booleans mask, Floats w_input, Floats w_recurrent,
                   Floats b, Floats b_n, Floats h0, Floats scale, Result h,
                   Result gates) {
  Call call(x, mask, w_input, w_recurrent, h0, scale);
  const int64_t T = call.sizes.T, B = call.sizes.B, H = call.sizes.H;
  const bool saved = gates->dimensions().size() != 1;  // Not saved: [0].
  call.arguments.insert(call.arguments.end(),
                        {{"b", b.dimensions(), {2, 3 * H}},
                         {"b_n", b_n.dimensions(), {2, H}},
                         {"h", h->dimensions(), {B, T, 2 * H}},
                         {"gates", gates->dimensions(),
                          saved ? Dimensions{2, T, B, 4 * H} : Dimensions{0}}});
  if (ffi::Error error = Check(call.arguments); error.failure()) return error;
  const GruKernel* kernel = FindKernel(kKernels, instruction_set);
  if (!kernel) return UnknownInstructionSet(instruction_set);
  call.inputs.b = b.typed_data();
  call.inputs.b_n = b_n.typed_data();
  const GruOutputs outputs = {h->typed_data(),
                              saved ? gates->typed_data() : nullptr};
  return Guarded([&] {
    const std::vector<GruShare> shares = Shares(pool, B);
    ForEachShare(pool, kernel->before_forward, call, shares,
                 [&](int64_t i, const Block& packed, const Block& scratch) {
                   kernel->forward(call.sizes, call.inputs, outputs, shares[i],
                                   packed, scratch);
                 });
  });
}

// to [3H, N] += the transpose of from [N, stride], whose columns are rotated:
// row g of `to` is column (g + shift) mod 3H.
void AddTransposed(int64_t G, int64_t N, int64_t shift, const float* from,
                   int64_t stride, float* to) {
  constexpr int64_t kBlock = 16;  // Columns in one cache line.
  for (int64_t g0 = 0; g0 < G; g0 += kBlock) {
    const int64_t last = std::min(g0 + kBlock, G);
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t g = g0; g < last; ++g) {
        to[g * N + n] += from[n * stride + (g + shift) % G];
      }
    }
  }
}

// Adds the shares' weight gradients up into a direction's part of the results.
void ReduceWeightGradients(const GruSizes& s, int64_t direction,
                           const std::vector<GruShare>& shares,
                           const std::vector<GruWeightGradients>& gradients,
                           float* dw_input, float* dw_recurrent, float* db,
                           float* db_n) {
  const int64_t G = 3 * s.H;
  dw_input += direction * G * s.E;
  dw_recurrent += direction * G * s.H;
  db += direction * G;
  db_n += direction * s.H;
  std::fill_n(dw_input, G * s.E, 0.0f);
  std::fill_n(dw_recurrent, G * s.H, 0.0f);
  std::fill_n(db, G, 0.0f);
  std::fill_n(db_n, s.H, 0.0f);
  for (size_t i = 0; i < shares.size(); ++i) {
    if (shares[i].direction != direction) continue;
    const GruWeightGradients& from = gradients[i];
    // The columns are n, r, z and q, the rows of the results r, z, n.
    AddTransposed(G, s.E, s.H, from.d_input, from.stride, dw_input);
    AddTransposed(G, s.H, 0, from.d_recurrent, from.stride, dw_recurrent);
    AddTransposed(G, 1, s.H, from.d_bias, from.stride, db);
    for (int64_t j = 0; j < s.H; ++j) db_n[j] += from.d_bias[G + j];
  }
}

ffi::Error Backward(ffi::ThreadPool pool, std::string_view instruction_set,
                    Floats x, Booleans mask, Floats w_input, Floats w_recurrent,
                    Floats h0, Floats scale, Floats h, Floats gates, Floats dh,
                    Result dx, Result dw_input, Result dw_recurrent, Result db,
                    Result db_n, Result dh0, Result dscale) {
  Call call(x, mask, w_input, w_recurrent, h0, scale);
  const int64_t T = call.sizes.T, B = call.sizes.B;
  const int64_t E = call.sizes.E, H = call.sizes.H;
  call.arguments.insert(
      call.arguments.end(),
      {{"h", h.dimensions(), {B, T, 2 * H}},
       {"gates", gates.dimensions(), {2, T, B, 4 * H}},
       {"dh", dh.dimensions(), {B, T, 2 * H}},
       {"dx", dx->dimensions(), {B, T, E}},
       {"dw_input", dw_input->dimensions(), {2, 3 * H, E}},
       {"dw_recurrent", dw_recurrent->dimensions(), {2, 3 * H, H}},
       {"db", db->dimensions(), {2, 3 * H}},
       {"db_n", db_n->dimensions(), {2, H}},
       {"dh0", dh0->dimensions(), {2, B, H}},
       {"dscale", dscale->dimensions(),
        call.inputs.scale ? Dimensions{2, B, H} : Dimensions{0}}});
  if (ffi::Error error = Check(call.arguments); error.failure()) return error;
  const GruKernel* kernel = FindKernel(kKernels, instruction_set);
  if (!kernel) return UnknownInstructionSet(instruction_set);
  const GruResiduals residuals = {h.typed_data(), gates.typed_data(),
                                  dh.typed_data()};
  return Guarded([&] {
    Memory memory;
    float* const backward_dx = memory.AllocateFloats(B * T * E);
    const GruGradients gradients = {{dx->typed_data(), backward_dx},
                                    dh0->typed_data(),
                                    dscale->typed_data()};
    const std::vector<GruShare> shares = Shares(pool, B);
    const int64_t stride = kernel->weight_gradient_stride(call.sizes);
    std::vector<GruWeightGradients> weight_gradients;
    for (size_t i = 0; i < shares.size(); ++i) {
      float* const rows = memory.AllocateFloats((E + H + 1) * stride);
      weight_gradients.push_back(
          {stride, rows, rows + E * stride, rows + (E + H) * stride});
    }
    ForEachShare(pool, kernel->before_backward, call, shares,
                 [&](int64_t i, const Block& packed, const Block& scratch) {
                   kernel->backward(call.sizes, call.inputs, residuals,
                                    gradients, weight_gradients[i], shares[i],
                                    packed, scratch);
                 });
    ParallelFor(pool, 2, [&](int64_t direction) {
      ReduceWeightGradients(call.sizes, direction, shares, weight_gradients,
                            dw_input->typed_data(), dw_recurrent->typed_data(),
                            db->typed_data(), db_n->typed_data());
    });
    ParallelFor(pool, shares.size(), [&](int64_t i) {
      const int64_t count = shares.size(), all = B * T * E;
      const int64_t first = i * all / count, last = (i + 1) * all / count;
      std::transform(backward_dx + first, backward_dx + last,
                     dx->typed_data() + first, dx->typed_data() + first,
                     std::plus<float>());
    });
  });
}

}  // namespace
}  // namespace bigru

// The i-th instruction set of this processor, the best one first, or null.
extern "C" const char* BigruInstructionSet(int i) {
  for (const bigru::GruKernel* kernel : bigru::kKernels) {
    if (kernel->supported() && i-- == 0) return kernel->name;
  }
  return nullptr;
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruGruForward, bigru::Forward,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Attr<std::string_view>("instruction_set")
                                  .Arg<bigru::Floats>()    // x
                                  .Arg<bigru::Booleans>()  // mask
                                  .Arg<bigru::Floats>()    // w_input
                                  .Arg<bigru::Floats>()    // w_recurrent
                                  .Arg<bigru::Floats>()    // b
                                  .Arg<bigru::Floats>()    // b_n
                                  .Arg<bigru::Floats>()    // h0
                                  .Arg<bigru::Floats>()    // scale
                                  .Ret<bigru::Floats>()    // h
                                  .Ret<bigru::Floats>());  // gates

XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruGruBackward, bigru::Backward,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Attr<std::string_view>("instruction_set")
                                  .Arg<bigru::Floats>()    // x
                                  .Arg<bigru::Booleans>()  // mask
                                  .Arg<bigru::Floats>()    // w_input
                                  .Arg<bigru::Floats>()    // w_recurrent
                                  .Arg<bigru::Floats>()    // h0
                                  .Arg<bigru::Floats>()    // scale
                                  .Arg<bigru::Floats>()    // h
                                  .Arg<bigru::Floats>()    // gates
                                  .Arg<bigru::Floats>()    // dh
                                  .Ret<bigru::Floats>()    // dx
                                  .Ret<bigru::Floats>()    // dw_input
                                  .Ret<bigru::Floats>()    // dw_recurrent
                                  .Ret<bigru::Floats>()    // db
                                  .Ret<bigru::Floats>()    // db_n
                                  .Ret<bigru::Floats>()    // dh0
                                  .Ret<bigru::Floats>());  // dscale
