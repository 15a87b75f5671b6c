// XLA's custom calls for the bidirectional GRU on a CPU: checks of the shapes,
// the choice of the instruction set, and threads. The mathematics is in
// gru_cpu_kernel.cc; gru_cpu.py calls these functions.

#include "gru_cpu.h"

#include "cpu_calls.h"

namespace bigru {

BIGRU_KERNELS(GruKernel, kGru)

namespace {

// Each direction over each part of the batch.
std::vector<Share> Shares(ffi::ThreadPool& pool, int64_t batch) {
  const int64_t threads = std::max<int64_t>(pool.num_threads(), 1);
  const int64_t parts = std::clamp<int64_t>(
      (threads + 1) / 2, 1, std::max<int64_t>(batch / kExamplesPerShare, 1));
  std::vector<Share> shares;
  for (int64_t part = 0; part < parts; ++part) {
    for (int64_t direction = 0; direction < 2; ++direction) {
      shares.push_back(
          {direction, part * batch / parts, (part + 1) * batch / parts});
    }
  }
  return shares;
}

// The arguments that both calls have, and the shapes that are expected.
template <class Number>
struct Call {
  using Buffer = Numbers<Number>;
  GruSizes sizes;
  GruInputs<Number> inputs;
  std::vector<Argument> arguments;

  Call(const Buffer& x, const Booleans& mask, const Buffer& w_input,
       const Buffer& w_recurrent, const Buffer& h0, const Floats& keep) {
    const int64_t B = Axis(x, 0), T = Axis(x, 1), E = Axis(x, 2);
    const int64_t H = Axis(w_recurrent, 2);
    const bool has_keep = keep.dimensions().size() != 1;  // Absent: [0].
    sizes = {T, B, E, H};
    arguments = {
        {"x", x, {B, T, E}},
        {"mask", mask, {B, T}},
        {"w_recurrent", w_recurrent, {2, 3 * H, H}},
        {"w_input", w_input, {2, 3 * H, E}},
        {"h0", h0, {2, B, H}},
        {"recurrent_mask", keep,
         has_keep ? Dimensions{2, B, H} : Dimensions{0}},
    };
    inputs = {Data<Number>(x),
              mask.typed_data(),
              Data<Number>(w_input),
              Data<Number>(w_recurrent),
              nullptr,
              nullptr,
              Data<Number>(h0),
              has_keep ? keep.typed_data() : nullptr};
  }
};

template <class Number>
ffi::Error Forward(ffi::ThreadPool pool, InstructionSet instruction_set,
                   Numbers<Number> x, Booleans mask, Numbers<Number> w_input,
                   Numbers<Number> w_recurrent, Floats b, Floats b_n,
                   Numbers<Number> h0, Floats keep, NumbersResult<Number> h,
                   NumbersResult<Number> gates) {
  Call<Number> call(x, mask, w_input, w_recurrent, h0, keep);
  const int64_t T = call.sizes.T, B = call.sizes.B, H = call.sizes.H;
  const bool saved = gates->dimensions().size() != 1;  // Not saved: [0].
  call.arguments.insert(
      call.arguments.end(),
      {{"b", b, {2, 3 * H}},
       {"b_n", b_n, {2, H}},
       {"h", *h, {B, T, 2 * H}},
       {"gates", *gates,
        saved ? Dimensions{2, T, B, 4 * H} : Dimensions{0}}});
  call.inputs.b = b.typed_data();
  call.inputs.b_n = b_n.typed_data();
  const GruOutputs<Number> outputs = {Data<Number>(*h),
                                      saved ? Data<Number>(*gates) : nullptr};
  auto run = [&](const GruKernel<Number>& code) {
    const std::vector<Share> shares = Shares(pool, B);
    ForEachShare(pool, code.before_forward, call.sizes, call.inputs, shares,
                 [&](int64_t i, const Block& packed, const Block& scratch) {
                   code.forward(call.sizes, call.inputs, outputs, shares[i],
                                packed, scratch);
                 });
  };
  return Run(Kernels<Number>(), instruction_set, call.arguments, run);
}

// Adds the transpose of from [N, stride] to to [3H, N], with rotated columns:
// row g of `to` gets column (g + shift) mod 3H.
void AddTransposed(int64_t G, int64_t N, int64_t shift, const float* from,
                   int64_t stride, float* to) {
  constexpr int64_t kBlock = 16;  // Columns in one cache line.
  for (int64_t g0 = 0; g0 < G; g0 += kBlock) {
    const int64_t last = std::min(g0 + kBlock, G);
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t g = g0; g < last; ++g) {
        const int64_t column = g + shift < G ? g + shift : g + shift - G;
        to[g * N + n] += from[n * stride + column];
      }
    }
  }
}

// Sums the shares' weight gradients into a direction's part of the results.
template <class Number>
void ReduceWeightGradients(const GruSizes& s, int64_t direction,
                           const std::vector<Share>& shares,
                           const std::vector<GruGradients<Number>>& gradients,
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
    const GruGradients<Number>& from = gradients[i];
    // The columns are in the order n, r, z, q; the results' rows in r, z, n.
    AddTransposed(G, s.E, s.H, from.d_input, from.stride, dw_input);
    AddTransposed(G, s.H, 0, from.d_recurrent, from.stride, dw_recurrent);
    AddTransposed(G, 1, s.H, from.d_bias, from.stride, db);
    for (int64_t j = 0; j < s.H; ++j) db_n[j] += from.d_bias[G + j];
  }
}

// Sums both directions' parts of an example's dx [B, T, E].
template <class Number>
void SumInputGradients(const GruKernel<Number>& code, const GruSizes& s,
                       const bool* mask, const GruGradients<Number>& parts,
                       int64_t b, Number* dx) {
  for (int64_t t = 0; t < s.T; ++t) {
    const int64_t position = b * s.T + t;
    Number* const to = dx + position * s.E;
    if (mask[position]) {
      const int64_t first = t * s.B + b, second = (s.T - 1 - t) * s.B + b;
      std::copy_n(parts.dx[0] + first * parts.dx_stride, s.E, to);
      code.add(s.E, parts.dx[1] + second * parts.dx_stride, to);
    } else {
      std::fill_n(to, s.E, Number{});
    }
  }
}

// The memory of dx is that of x, and that of `spent`, [2, T, B, 4H], is that of
// `gates`: the pass reads both before it overwrites them.
template <class Number>
ffi::Error Backward(ffi::ThreadPool pool, InstructionSet instruction_set,
                    Numbers<Number> x, Booleans mask, Numbers<Number> w_input,
                    Numbers<Number> w_recurrent, Numbers<Number> h0,
                    Floats keep, Numbers<Number> h, Numbers<Number> gates,
                    Numbers<Number> dh, NumbersResult<Number> dx,
                    FloatsResult dw_input, FloatsResult dw_recurrent,
                    FloatsResult db, FloatsResult db_n, FloatsResult dh0,
                    FloatsResult dkeep, NumbersResult<Number> spent) {
  Call<Number> call(x, mask, w_input, w_recurrent, h0, keep);
  const int64_t T = call.sizes.T, B = call.sizes.B;
  const int64_t E = call.sizes.E, H = call.sizes.H;
  call.arguments.insert(
      call.arguments.end(),
      {{"h", h, {B, T, 2 * H}},
       {"gates", gates, {2, T, B, 4 * H}},
       {"dh", dh, {B, T, 2 * H}},
       {"dx", *dx, {B, T, E}},
       {"dw_input", *dw_input, {2, 3 * H, E}},
       {"dw_recurrent", *dw_recurrent, {2, 3 * H, H}},
       {"db", *db, {2, 3 * H}},
       {"db_n", *db_n, {2, H}},
       {"dh0", *dh0, {2, B, H}},
       {"d_recurrent_mask", *dkeep,
        call.inputs.keep ? Dimensions{2, B, H} : Dimensions{0}},
       {"spent", *spent, {2, T, B, 4 * H}}});
  const GruResiduals<Number> residuals = {Data<Number>(h), Data<Number>(gates),
                                          Data<Number>(dh)};
  auto run = [&](const GruKernel<Number>& code) {
    Memory memory;
    const int64_t dx_stride = std::max(E, 4 * H);
    Number* const parts = E > 4 * H ? memory.Allocate<Number>(2 * T * B * E)
                                    : Data<Number>(*spent);
    const std::vector<Share> shares = Shares(pool, B);
    const int64_t stride = code.stride(4 * H);
    std::vector<GruGradients<Number>> gradients;
    for (size_t i = 0; i < shares.size(); ++i) {
      float* const rows = memory.Allocate<float>((E + H + 1) * stride);
      gradients.push_back({{parts, parts + T * B * dx_stride},
                           dx_stride,
                           dh0->typed_data(),
                           dkeep->typed_data(),
                           stride,
                           rows,
                           rows + E * stride,
                           rows + (E + H) * stride});
    }
    ForEachShare(pool, code.before_backward, call.sizes, call.inputs, shares,
                 [&](int64_t i, const Block& packed, const Block& scratch) {
                   code.backward(call.sizes, call.inputs, residuals,
                                 gradients[i], shares[i], packed, scratch);
                 });
    ParallelFor(pool, 2, [&](int64_t direction) {
      ReduceWeightGradients(call.sizes, direction, shares, gradients,
                            dw_input->typed_data(), dw_recurrent->typed_data(),
                            db->typed_data(), db_n->typed_data());
    });
    ParallelFor(pool, B, [&](int64_t b) {
      SumInputGradients(code, call.sizes, call.inputs.mask, gradients[0], b,
                        Data<Number>(*dx));
    });
  };
  return Run(Kernels<Number>(), instruction_set, call.arguments, run);
}

// The name of the i-th kernel that this processor can run, or null.
template <class Number>
const char* InstructionSetName(size_t i) {
  const auto& kernels = Kernels<Number>();
  return i < kernels.size() ? kernels[i]->name : nullptr;
}

}  // namespace
}  // namespace bigru

// The i-th instruction set of this processor for arrays of a type, the best one
// first, or null.
extern "C" const char* BigruInstructionSet_float32(int i) {
  return bigru::InstructionSetName<float>(i);
}
extern "C" const char* BigruInstructionSet_bfloat16(int i) {
  return bigru::InstructionSetName<bigru::BFloat16>(i);
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruGruForward_float32, bigru::Forward<float>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruGruBackward_float32,
                              bigru::Backward<float>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruGruForward_bfloat16,
                              bigru::Forward<bigru::BFloat16>);
XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruGruBackward_bfloat16,
                              bigru::Backward<bigru::BFloat16>);
