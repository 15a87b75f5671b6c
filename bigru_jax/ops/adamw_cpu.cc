// XLA's custom call for AdamW on a CPU, which updates parameters and moments in
// place, in threads. adamw_cpu_kernel.cc has the formulas; adamw.py calls it.

#include "adamw_cpu.h"

#include <cstring>

#include "cpu_calls.h"

namespace bigru {

BIGRU_KERNELS(AdamwKernel, kAdamw)

namespace {

// The elements of one array that a thread updates at once: 512 KiB.
constexpr int64_t kSpanSize = 1 << 17;

// The elements [first, last) of an array.
struct ArraySpan {
  int64_t array, first, last;
};

std::vector<ArraySpan> Spans(const std::vector<Floats>& arrays) {
  std::vector<ArraySpan> spans;
  for (size_t a = 0; a < arrays.size(); ++a) {
    const int64_t size = arrays[a].element_count();
    for (int64_t first = 0; first < size; first += kSpanSize) {
      spans.push_back({static_cast<int64_t>(a), first,
                       std::min(first + kSpanSize, size)});
    }
  }
  return spans;
}

// Returns `count` of the arguments, which are arrays of floats.
std::vector<Floats> Arrays(const ffi::RemainingArgs& arguments, size_t first,
                           size_t count) {
  std::vector<Floats> arrays;
  for (size_t i = first; i < first + count; ++i) {
    arrays.push_back(*arguments.get<Floats>(i));
  }
  return arrays;
}

// The arrays are gradients, parameters and both moments. The results have the
// memory of the parameters and moments, so a step that is not finite changes
// nothing.
ffi::Error Update(ffi::ThreadPool pool, std::string_view instruction_set,
                  ffi::Span<const int64_t> num_trained, Floats scalars,
                  Floats rates, Floats decays, Booleans finite,
                  ffi::RemainingArgs arguments, ffi::RemainingRets) {
  const int64_t count = arguments.size() / 4;
  const auto grads = Arrays(arguments, 0, count);
  const auto params = Arrays(arguments, count, count);
  const auto mu = Arrays(arguments, 2 * count, count);
  const auto nu = Arrays(arguments, 3 * count, count);
  std::vector<Argument> checked = {
      {"scalars", scalars, {sizeof(AdamwScalars) / sizeof(float)}},
      {"rates", rates, {count}},
      {"decays", decays, {count}},
      {"finite", finite, {}}};
  for (int64_t a = 0; a < count; ++a) {
    const auto shape = grads[a].dimensions();
    const Dimensions expected(shape.begin(), shape.end());
    checked.insert(checked.end(), {{"params", params[a], expected},
                                   {"mu", mu[a], expected},
                                   {"nu", nu[a], expected}});
  }
  auto run = [&](const AdamwKernel<float>& code) {
    if (!*finite.typed_data()) return;
    AdamwScalars step;
    std::memcpy(&step, scalars.typed_data(), sizeof(step));
    const auto spans = Spans(grads);
    ParallelFor(pool, spans.size(), [&](int64_t i) {
      const auto [a, first, last] = spans[i];
      code.update(step, {last - first,
                         std::clamp(num_trained[a], first, last) - first,
                         rates.typed_data()[a], decays.typed_data()[a],
                         grads[a].typed_data() + first,
                         params[a].typed_data() + first,
                         mu[a].typed_data() + first,
                         nu[a].typed_data() + first});
    });
  };
  return Run(Kernels<float>(), InstructionSet(instruction_set), checked, run);
}

}  // namespace
}  // namespace bigru

XLA_FFI_DEFINE_HANDLER_SYMBOL(BigruAdamw_float32, bigru::Update,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<std::string_view>("instruction_set")
                                  .Attr<ffi::Span<const int64_t>>("num_trained")
                                  .Arg<bigru::Floats>()
                                  .Arg<bigru::Floats>()
                                  .Arg<bigru::Floats>()
                                  .Arg<bigru::Booleans>()
                                  .RemainingArgs()
                                  .RemainingRets());
