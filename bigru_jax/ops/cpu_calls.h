// What XLA's custom calls of this folder share: scratch memory, threads, and the
// checks of their arguments.

#ifndef BIGRU_JAX_OPS_CPU_CALLS_H_
#define BIGRU_JAX_OPS_CPU_CALLS_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace bigru {

namespace ffi = xla::ffi;
using Floats = ffi::Buffer<ffi::F32>;
using Booleans = ffi::Buffer<ffi::PRED>;
using Result = ffi::Result<Floats>;
using Dimensions = std::vector<int64_t>;

// A thread's share of the batch has at least as many examples.
constexpr int64_t kExamplesPerTask = 8;

// The kernel of this name, or for '' the first one, that this processor can run.
template <class Kernels>
auto FindKernel(const Kernels& kernels, std::string_view name) {
  for (const auto* kernel : kernels) {
    if (kernel->supported() && (name.empty() || name == kernel->name)) {
      return kernel;
    }
  }
  return decltype(kernels[0] + 0){};
}

inline ffi::Error UnknownInstructionSet(std::string_view name) {
  return ffi::Error::InvalidArgument("this processor has no instruction set '" +
                                     std::string(name) + "'");
}

// Floats aligned to a cache line, not initialized.
struct Free {
  void operator()(float* p) const { std::free(p); }
};
using Scratch = std::unique_ptr<float[], Free>;
inline Scratch Allocate(int64_t count) {
  const size_t bytes = (static_cast<size_t>(count) * sizeof(float) + 63) & ~63;
  void* p = std::aligned_alloc(64, std::max<size_t>(bytes, 64));
  if (!p) throw std::bad_alloc();
  return Scratch(static_cast<float*>(p));
}

// Runs run(0) to run(count - 1) on XLA's threads and on this one. This thread
// takes every call that no other has begun, so a pool whose threads are all
// busy, or all wait for this call, delays nothing.
inline void ParallelFor(ffi::ThreadPool& pool, int64_t count,
                 const std::function<void(int64_t)>& run) {
  struct State {
    std::atomic<int64_t> next{0};
    int64_t done = 0;
    std::mutex mutex;
    std::condition_variable all_done;
  };
  auto state = std::make_shared<State>();
  // A thread that comes late finds nothing to do, and never looks at `run`.
  auto work = [state, count, &run] {
    for (int64_t i; (i = state->next++) < count;) {
      run(i);
      std::lock_guard<std::mutex> lock(state->mutex);
      if (++state->done == count) state->all_done.notify_one();
    }
  };
  for (int64_t i = 1; i < count; ++i) pool.Schedule(std::function(work));
  work();
  std::unique_lock<std::mutex> lock(state->mutex);
  state->all_done.wait(lock, [&] { return state->done == count; });
}

struct Argument {
  const char* name;
  ffi::Span<const int64_t> found;
  Dimensions expected;
};

inline ffi::Error Check(const std::vector<Argument>& arguments) {
  for (const Argument& argument : arguments) {
    if (!std::equal(argument.found.begin(), argument.found.end(),
                    argument.expected.begin(), argument.expected.end())) {
      return ffi::Error::InvalidArgument(
          std::string("the shape of ") + argument.name +
          " does not fit the other arguments");
    }
  }
  return ffi::Error::Success();
}

// Runs what may allocate; without memory it is an error of the call.
template <class F>
ffi::Error Guarded(F run) {
  try {
    run();
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "out of memory");
  }
  return ffi::Error::Success();
}

}  // namespace bigru

#endif  // BIGRU_JAX_OPS_CPU_CALLS_H_
