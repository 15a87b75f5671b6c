// Scratch memory, measured by the code that takes it.
//
// A layout is a struct whose constructor takes its arrays from an arena, its
// last argument. Measure() runs the constructor without memory, and Carve()
// with the memory that was measured.

#pragma once

#include <cassert>
#include <cstdint>

#include "cpu_kernel.h"
#include "cpu_simd-inl.h"

namespace bigru::INSTRUCTION_SET {
namespace {

// Hands out the memory that begins at `data`, or null pointers if it is null.
class Arena {
 public:
  explicit Arena(char* data) : data_(data) {}

  template <class T>
  T* Take(int64_t count) {
    char* taken = data_ ? data_ + used_ : nullptr;
    used_ += RoundUp(count * sizeof(T), kAlignment);
    return reinterpret_cast<T*>(taken);
  }
  int64_t used() const { return used_; }

 private:
  char* data_;
  int64_t used_ = 0;
};

// Returns the number of bytes that a layout takes.
template <class Layout, class... Arguments>
int64_t Measure(const Arguments&... arguments) {
  Arena arena(nullptr);
  static_cast<void>(Layout(arguments..., arena));
  return arena.used();
}

// Returns the layout in a block of exactly that size.
template <class Layout, class... Arguments>
Layout Carve(const Block& block, const Arguments&... arguments) {
  Arena arena(block.data);
  const Layout layout(arguments..., arena);
  assert(arena.used() == block.size);
  return layout;
}

}  // namespace
}  // namespace bigru::INSTRUCTION_SET
