// Shared by XLA's custom calls of this folder: scratch memory, threads, and the
// checks of the arguments.

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "cpu_kernel.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

// Lets a handler take a parameter of this type.
template <>
struct ffi::CtxBinding<ffi::ThreadPool> {
  using Ctx = ffi::ThreadPool;
};

namespace bigru {

// Arrays of float, of bool, and of what a kernel's products multiply.
using Floats = ffi::Buffer<ffi::F32>;
using Booleans = ffi::Buffer<ffi::PRED>;
template <class Number>
using Numbers =
    ffi::Buffer<std::is_same_v<Number, float> ? ffi::F32 : ffi::BF16>;
using FloatsResult = ffi::Result<Floats>;
template <class Number>
using NumbersResult = ffi::Result<Numbers<Number>>;

// The numbers of an array; XLA's headers have no type for BFloat16.
template <class Number>
Number* Data(const Numbers<Number>& buffer) {
  return reinterpret_cast<Number*>(buffer.typed_data());
}

using Dimensions = std::vector<int64_t>;

// The smallest number of examples in a thread's share of the batch.
constexpr int64_t kExamplesPerShare = 8;

// How long a thread waits for the others before it sleeps.
constexpr std::chrono::microseconds kMaxSpin(50);

// The instruction set that a call asks for; '' is the best one.
constexpr char kInstructionSet[] = "instruction_set";
using InstructionSet = ffi::Attr<std::string_view, kInstructionSet>;

// The kernels of all instruction sets that were compiled, the best one first:
// their declarations, and pointers to them.
#if defined(__x86_64__)
#define BIGRU_DECLARE_FLOAT(Type, name)               \
  namespace avx512 { extern const Type<float> name; } \
  namespace avx2 { extern const Type<float> name; }
#define BIGRU_FLOAT(name) &avx512::name, &avx2::name
#else
#define BIGRU_DECLARE_FLOAT(Type, name) \
  namespace neon { extern const Type<float> name; }
#define BIGRU_FLOAT(name) &neon::name
#endif
#if defined(BIGRU_AMX_BF16)  // Its compilers also know AVX512_BF16.
#define BIGRU_DECLARE_BFLOAT16(Type, name)                 \
  namespace amx_bf16 { extern const Type<BFloat16> name; } \
  namespace avx512_bf16 { extern const Type<BFloat16> name; }
#define BIGRU_BFLOAT16(name) &amx_bf16::name, &avx512_bf16::name
#elif defined(BIGRU_AVX512_BF16)
#define BIGRU_DECLARE_BFLOAT16(Type, name) \
  namespace avx512_bf16 { extern const Type<BFloat16> name; }
#define BIGRU_BFLOAT16(name) &avx512_bf16::name
#else
#define BIGRU_DECLARE_BFLOAT16(Type, name)
#define BIGRU_BFLOAT16(name)
#endif

// Defines Kernels<Number>(), those of them that this processor can run.
#define BIGRU_KERNELS(Type, name)                                          \
  BIGRU_DECLARE_FLOAT(Type, name)                                          \
  BIGRU_DECLARE_BFLOAT16(Type, name)                                       \
  template <class Number>                                                  \
  static const std::vector<const Type<Number>*>& Kernels() {               \
    if constexpr (std::is_same_v<Number, float>) {                         \
      static const auto kernels = Supported<Type<float>>({BIGRU_FLOAT(name)}); \
      return kernels;                                                      \
    } else {                                                               \
      static const auto kernels =                                          \
          Supported<Type<BFloat16>>({BIGRU_BFLOAT16(name)});               \
      return kernels;                                                      \
    }                                                                      \
  }

// Asking the processor takes long in a virtual machine, so it is done once.
template <class Kernel>
std::vector<const Kernel*> Supported(
    const std::vector<const Kernel*>& kernels) {
  std::vector<const Kernel*> supported;
  for (const Kernel* kernel : kernels) {
    if (kernel->supported()) supported.push_back(kernel);
  }
  return supported;
}

// The memory of a call, aligned and not initialized, freed with this object.
class Memory {
 public:
  Block AllocateBlock(int64_t size) {
    const int64_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
    void* data = std::aligned_alloc(kAlignment, std::max(rounded, kAlignment));
    if (!data) throw std::bad_alloc();
    blocks_.emplace_back(static_cast<char*>(data));
    return {blocks_.back().get(), size};
  }
  template <class T>
  T* Allocate(int64_t count) {
    return reinterpret_cast<T*>(AllocateBlock(count * sizeof(T)).data);
  }

 private:
  struct Free {
    void operator()(char* data) const { std::free(data); }
  };
  std::vector<std::unique_ptr<char[], Free>> blocks_;
};

// Runs run(0) to run(count - 1) on XLA's threads and on this thread, which
// makes every call that no other thread has begun. So there is no deadlock if
// all threads of the pool are busy or wait for this call.
inline void ParallelFor(ffi::ThreadPool& pool, int64_t count,
                        const std::function<void(int64_t)>& run) {
  struct State {
    std::atomic<int64_t> next{0}, done{0};
    std::mutex mutex;
    std::condition_variable all_done;
  };
  auto state = std::make_shared<State>();
  // A thread that starts after all calls have begun never accesses `run`.
  auto work = [state, count, &run] {
    for (int64_t i; (i = state->next++) < count;) {
      run(i);
      if (++state->done == count) {
        std::lock_guard<std::mutex> lock(state->mutex);
        state->all_done.notify_one();
      }
    }
  };
  for (int64_t i = 1; i < count; ++i) pool.Schedule(std::function(work));
  work();
  // It does not sleep at once: to be woken takes as long as a short text.
  using Clock = std::chrono::steady_clock;
  const Clock::time_point limit = Clock::now() + kMaxSpin;
  while (state->done < count && Clock::now() < limit) {
    std::this_thread::yield();
  }
  std::unique_lock<std::mutex> lock(state->mutex);
  state->all_done.wait(lock, [&] { return state->done == count; });
}

// Runs run(i, packed, scratch) for each share i. The first share of a direction
// to begin packs the direction's weights, and the other shares wait for them.
template <class Sizes, class Inputs, class F>
void ForEachShare(ffi::ThreadPool& pool,
                  const Preparation<Sizes, Inputs>& prepare,
                  const Sizes& sizes, const Inputs& inputs,
                  const std::vector<Share>& shares, F run) {
  Memory memory;
  Block packed[2];
  for (int64_t d = 0; d <= shares.back().direction; ++d) {
    packed[d] = memory.AllocateBlock(prepare.packed_size(sizes));
  }
  std::vector<Block> scratch;
  for (const Share& share : shares) {
    scratch.push_back(memory.AllocateBlock(prepare.scratch_size(sizes, share)));
  }
  std::once_flag is_packed[2];
  ParallelFor(pool, shares.size(), [&](int64_t i) {
    const int64_t d = shares[i].direction;
    std::call_once(is_packed[d],
                   [&] { prepare.pack(sizes, inputs, d, packed[d]); });
    run(i, packed[d], scratch[i]);
  });
}

// An array of a call, with its shape and the shape that is expected.
struct Argument {
  template <class Buffer>
  Argument(const char* name, const Buffer& buffer, Dimensions expected)
      : name(name), shape(buffer.dimensions()), expected(std::move(expected)) {}

  const char* name;
  ffi::Span<const int64_t> shape;
  Dimensions expected;
};

// Returns the size of an axis, or -1 if the array has no such axis.
template <class Buffer>
int64_t Axis(const Buffer& buffer, size_t axis) {
  const auto shape = buffer.dimensions();
  return axis < shape.size() ? shape[axis] : -1;
}

// Formats a shape. Negative sizes come from missing axes and are printed as
// `?`.
template <class Shape>
std::string ShapeString(const Shape& shape) {
  std::string text;
  for (int64_t size : shape) {
    if (!text.empty()) text += ", ";
    text += size < 0 ? "?" : std::to_string(size);
  }
  return "[" + text + "]";
}

// Checks the shapes and runs run(kernel) with the kernel of the instruction
// set. Returns an error if memory runs out.
template <class Kernels, class F>
ffi::Error Run(const Kernels& kernels, InstructionSet instruction_set,
               const std::vector<Argument>& arguments, F run) {
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
  const std::string name(*instruction_set);
  for (const auto* kernel : kernels) {
    if (!name.empty() && name != kernel->name) continue;
    try {
      run(*kernel);
    } catch (const std::bad_alloc&) {
      return ffi::Error(ffi::ErrorCode::kResourceExhausted, "out of memory");
    }
    return ffi::Error::Success();
  }
  return ffi::Error::InvalidArgument("this processor has no instruction set '" +
                                     name + "'");
}

}  // namespace bigru
