// What XLA's custom calls of this folder share: scratch memory, threads, and
// the checks of their arguments.

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
#include <string_view>
#include <vector>

#include "cpu_kernel.h"
#include "xla/ffi/api/ffi.h"

namespace bigru {

namespace ffi = xla::ffi;
using Floats = ffi::Buffer<ffi::F32>;
using Booleans = ffi::Buffer<ffi::PRED>;
using Result = ffi::Result<Floats>;
using Dimensions = std::vector<int64_t>;

// A thread's share of the batch has at least as many examples.
constexpr int64_t kExamplesPerShare = 8;

// The kernel of this name, or for '' the first one, that this processor can
// run.
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

// The memory of a call, aligned and not initialized. It lives as long as this.
class Memory {
 public:
  Block Allocate(int64_t size) {
    const int64_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
    void* data = std::aligned_alloc(kAlignment, std::max(rounded, kAlignment));
    if (!data) throw std::bad_alloc();
    blocks_.emplace_back(static_cast<char*>(data));
    return {blocks_.back().get(), size};
  }
  float* AllocateFloats(int64_t count) {
    return reinterpret_cast<float*>(Allocate(count * sizeof(float)).data);
  }

 private:
  struct Free {
    void operator()(char* data) const { std::free(data); }
  };
  std::vector<std::unique_ptr<char[], Free>> blocks_;
};

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

// An array of a call: its shape, and the one that fits the other arguments.
struct Argument {
  const char* name;
  ffi::Span<const int64_t> shape;
  Dimensions expected;
};

// The size of an axis, or -1 where the array has not so many.
inline int64_t Axis(ffi::Span<const int64_t> shape, size_t axis) {
  return axis < shape.size() ? shape[axis] : -1;
}

// Sizes below zero follow from an axis that is missing, and are printed as `?`.
template <class Shape>
std::string ShapeString(const Shape& shape) {
  std::string text;
  for (int64_t size : shape) {
    if (!text.empty()) text += ", ";
    text += size < 0 ? "?" : std::to_string(size);
  }
  return "[" + text + "]";
}

inline ffi::Error Check(const std::vector<Argument>& arguments) {
  for (const Argument& argument : arguments) {
    const Dimensions& expected = argument.expected;
    if (!std::equal(argument.shape.begin(), argument.shape.end(),
                    expected.begin(), expected.end())) {
      return ffi::Error::InvalidArgument(
          std::string("the shape of ") + argument.name + " is " +
          ShapeString(argument.shape) + ", where the other arguments need " +
          ShapeString(expected));
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
