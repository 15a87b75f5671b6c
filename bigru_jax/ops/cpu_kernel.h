// Shared by the interfaces of the kernels, gru_cpu.h and attention_cpu.h.

#pragma once

#include <cstdint>

namespace bigru {

// The bits of a bfloat16, the upper half of a float's.
enum class BFloat16 : uint16_t {};

// Memory of `size` bytes, aligned to kAlignment, not initialized.
constexpr int64_t kAlignment = 64;
struct Block {
  char* data;
  int64_t size;
};

// One thread's work: the examples `first` to `last` in one direction. Attention
// uses direction 0 alone.
struct Share {
  int64_t direction, first, last;
};

// The preparation of a forward or backward pass: it packs the weights once for
// each direction and allocates scratch memory for each share. Sizes are in
// bytes.
template <class Sizes, class Inputs>
struct Preparation {
  int64_t (*packed_size)(const Sizes&);
  void (*pack)(const Sizes&, const Inputs&, int64_t direction,
               const Block& packed);
  int64_t (*scratch_size)(const Sizes&, const Share&);
};

// The functions of one instruction set for arrays of float or BFloat16, the
// type of what its products multiply. Sums are floats.
template <class Number, class Sizes, class Inputs, class Outputs,
          class Residuals, class Gradients>
struct Kernel {
  const char* name;
  bool (*supported)();
  int64_t (*stride)(int64_t n);  // The distance between rows of n floats.
  Preparation<Sizes, Inputs> before_forward, before_backward;
  void (*forward)(const Sizes&, const Inputs&, const Outputs&, const Share&,
                  const Block& packed, const Block& scratch);
  void (*backward)(const Sizes&, const Inputs&, const Residuals&,
                   const Gradients&, const Share&, const Block& packed,
                   const Block& scratch);
  void (*add)(int64_t n, const Number* from, Number* to);  // to += from
};

}  // namespace bigru
