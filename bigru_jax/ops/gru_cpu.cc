// XLA's custom calls for the bidirectional GRU on a CPU: checks of the shapes,
// the choice of the instruction set, and threads. The mathematics stands in
// gru_cpu_kernel.cc; gru_cpu.py calls these functions.

#include "gru_cpu.h"

#include "cpu_calls.h"

namespace bigru {

#if defined(__x86_64__)
namespace avx512 {
extern const Kernel kKernel;
}
namespace avx2 {
extern const Kernel kKernel;
}
static const Kernel* const kKernels[] = {&avx512::kKernel, &avx2::kKernel};
#else
namespace neon {
extern const Kernel kKernel;
}
static const Kernel* const kKernels[] = {&neon::kKernel};
#endif

namespace {

// Each direction over each share of the batch.
std::vector<Task> Tasks(ffi::ThreadPool& pool, int64_t batch) {
  const int64_t threads = std::max<int64_t>(pool.num_threads(), 1);
  const int64_t shares =
      std::clamp<int64_t>((threads + 1) / 2, 1,
                          std::max<int64_t>(batch / kExamplesPerTask, 1));
  std::vector<Task> tasks;
  for (int64_t share = 0; share < shares; ++share) {
    for (int64_t direction = 0; direction < 2; ++direction) {
      tasks.push_back({direction, share * batch / shares,
                       (share + 1) * batch / shares});
    }
  }
  return tasks;
}

// The arguments that both calls have, and what they must be.
struct Call {
  Sizes sizes;
  Inputs inputs;
  std::vector<Argument> arguments;

  Call(const Floats& x, const Booleans& mask,
       const Floats& w_input, const Floats& w_recurrent, const Floats& h0,
       const Floats& scale) {
    const auto x_shape = x.dimensions(), w_shape = w_recurrent.dimensions();
    const bool ranks_fit = x_shape.size() == 3 && w_shape.size() == 3;
    sizes = ranks_fit ? Sizes{x_shape[1], x_shape[0], x_shape[2], w_shape[2]}
                      : Sizes{-1, -1, -1, -1};
    const auto [T, B, E, H] = sizes;
    const bool scaled = scale.dimensions().size() != 1;  // Absent: [0].
    arguments = {
        {"x", x_shape, {B, T, E}},
        {"mask", mask.dimensions(), {B, T}},
        {"w_input", w_input.dimensions(), {2, 3 * H, E}},
        {"w_recurrent", w_shape, {2, 3 * H, H}},
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

ffi::Error Forward(ffi::ThreadPool pool, std::string_view instruction_set,
                   Floats x, Booleans mask, Floats w_input,
                   Floats w_recurrent, Floats b, Floats b_n, Floats h0,
                   Floats scale, Result h, Result gates) {
  Call call(x, mask, w_input, w_recurrent, h0, scale);
  const auto [T, B, E, H] = call.sizes;
  const bool saved = gates->dimensions().size() != 1;  // Not saved: [0].
  call.arguments.insert(
      call.arguments.end(),
      {{"b", b.dimensions(), {2, 3 * H}},
       {"b_n", b_n.dimensions(), {2, H}},
       {"h", h->dimensions(), {B, T, 2 * H}},
       {"gates", gates->dimensions(),
        saved ? Dimensions{2, T, B, 4 * H} : Dimensions{0}}});
  if (ffi::Error error = Check(call.arguments); error.failure()) return error;
  const Kernel* kernel = FindKernel(kKernels, instruction_set);
  if (!kernel) return UnknownInstructionSet(instruction_set);
  call.inputs.b = b.typed_data();
  call.inputs.b_n = b_n.typed_data();
  const Outputs outputs = {h->typed_data(),
                           saved ? gates->typed_data() : nullptr};
  return Guarded([&] {
    const std::vector<Task> tasks = Tasks(pool, B);
    std::vector<Scratch> scratch;
    for (const Task& task : tasks) {
      scratch.push_back(
          Allocate(kernel->scratch(call.sizes, task.last - task.first)));
    }
    ParallelFor(pool, tasks.size(), [&](int64_t i) {
      kernel->forward(call.sizes, call.inputs, outputs, tasks[i],
                      scratch[i].get());
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

// Adds the tasks' weight gradients up into a direction's part of the results.
void Finish(const Sizes& s, int64_t direction, int64_t stride,
            const std::vector<Task>& tasks,
            const std::vector<WeightGradients>& found, float* dw_input,
            float* dw_recurrent, float* db, float* db_n) {
  const int64_t G = 3 * s.H;
  dw_input += direction * G * s.E;
  dw_recurrent += direction * G * s.H;
  db += direction * G;
  db_n += direction * s.H;
  std::fill_n(dw_input, G * s.E, 0.0f);
  std::fill_n(dw_recurrent, G * s.H, 0.0f);
  std::fill_n(db, G, 0.0f);
  std::fill_n(db_n, s.H, 0.0f);
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].direction != direction) continue;
    // The columns are n, r, z and q, the rows of the results r, z, n.
    AddTransposed(G, s.E, s.H, found[i].d_input, stride, dw_input);
    AddTransposed(G, s.H, 0, found[i].d_recurrent, stride, dw_recurrent);
    AddTransposed(G, 1, s.H, found[i].d_bias, stride, db);
    for (int64_t j = 0; j < s.H; ++j) db_n[j] += found[i].d_bias[G + j];
  }
}

ffi::Error Backward(ffi::ThreadPool pool, std::string_view instruction_set,
                    Floats x, Booleans mask, Floats w_input,
                    Floats w_recurrent, Floats h0, Floats scale, Floats h,
                    Floats gates, Floats dh, Result dx, Result dw_input,
                    Result dw_recurrent, Result db, Result db_n, Result dh0,
                    Result dscale) {
  Call call(x, mask, w_input, w_recurrent, h0, scale);
  const auto [T, B, E, H] = call.sizes;
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
  const Kernel* kernel = FindKernel(kKernels, instruction_set);
  if (!kernel) return UnknownInstructionSet(instruction_set);
  const Residuals residuals = {h.typed_data(), gates.typed_data(),
                               dh.typed_data()};
  return Guarded([&] {
    const Scratch backward_dx = Allocate(B * T * E);
    const Gradients gradients = {{dx->typed_data(), backward_dx.get()},
                                 dh0->typed_data(),
                                 dscale->typed_data()};
    const std::vector<Task> tasks = Tasks(pool, B);
    const int64_t stride = kernel->stride(call.sizes);
    std::vector<Scratch> scratch, weights;
    std::vector<WeightGradients> found;
    for (const Task& task : tasks) {
      scratch.push_back(
          Allocate(kernel->scratch(call.sizes, task.last - task.first)));
      weights.push_back(Allocate((E + H + 1) * stride));
      float* rows = weights.back().get();
      found.push_back({rows, rows + E * stride, rows + (E + H) * stride});
    }
    ParallelFor(pool, tasks.size(), [&](int64_t i) {
      kernel->backward(call.sizes, call.inputs, residuals, gradients, found[i],
                       tasks[i], scratch[i].get());
    });
    ParallelFor(pool, 2, [&](int64_t direction) {
      Finish(call.sizes, direction, stride, tasks, found,
             dw_input->typed_data(), dw_recurrent->typed_data(),
             db->typed_data(), db_n->typed_data());
    });
    ParallelFor(pool, tasks.size(), [&](int64_t i) {
      const int64_t count = tasks.size(), all = B * T * E;
      const int64_t first = i * all / count, last = (i + 1) * all / count;
      std::transform(backward_dx.get() + first, backward_dx.get() + last,
                     dx->typed_data() + first, dx->typed_data() + first,
                     std::plus<float>());
    });
  });
}

}  // namespace
}  // namespace bigru

// The i-th instruction set of this processor, the best one first, or null.
extern "C" const char* BigruInstructionSet(int i) {
  for (const bigru::Kernel* kernel : bigru::kKernels) {
    if (kernel->supported() && i-- == 0) return kernel->name;
  }
  return nullptr;
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    BigruGruForward, bigru::Forward,
    xla::ffi::Ffi::Bind()
        .Ctx<xla::ffi::ThreadPool>()
        .Attr<std::string_view>("instruction_set")
        .Arg<bigru::Floats>()                             // x
        .Arg<bigru::Booleans>()                           // mask
        .Arg<bigru::Floats>()                             // w_input
        .Arg<bigru::Floats>()                             // w_recurrent
        .Arg<bigru::Floats>()                             // b
        .Arg<bigru::Floats>()                             // b_n
        .Arg<bigru::Floats>()                             // h0
        .Arg<bigru::Floats>()                             // scale
        .Ret<bigru::Floats>()                             // h
        .Ret<bigru::Floats>());                           // gates

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    BigruGruBackward, bigru::Backward,
    xla::ffi::Ffi::Bind()
        .Ctx<xla::ffi::ThreadPool>()
        .Attr<std::string_view>("instruction_set")
        .Arg<bigru::Floats>()                             // x
        .Arg<bigru::Booleans>()                           // mask
        .Arg<bigru::Floats>()                             // w_input
        .Arg<bigru::Floats>()                             // w_recurrent
        .Arg<bigru::Floats>()                             // h0
        .Arg<bigru::Floats>()                             // scale
        .Arg<bigru::Floats>()                             // h
        .Arg<bigru::Floats>()                             // gates
        .Arg<bigru::Floats>()                             // dh
        .Ret<bigru::Floats>()                             // dx
        .Ret<bigru::Floats>()                             // dw_input
        .Ret<bigru::Floats>()                             // dw_recurrent
        .Ret<bigru::Floats>()                             // db
        .Ret<bigru::Floats>()                             // db_n
        .Ret<bigru::Floats>()                             // dh0
        .Ret<bigru::Floats>());                           // dscale
