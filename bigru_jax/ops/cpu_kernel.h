// What the interfaces of the kernels, gru_cpu.h and attention_cpu.h, share.

#pragma once

#include <cstdint>

namespace bigru {

// Memory of `size` bytes, aligned to kAlignment, not initialized.
constexpr int64_t kAlignment = 64;
struct Block {
  char* data;
  int64_t size;
};

// The examples `first` to `last` in one direction: what one thread does. All of
// attention is in direction 0.
struct Share {
  int64_t direction, first, last;
};

// What the forward or the backward pass does before its shares run: it packs
// the weights once for each direction, and each share has its own scratch
// memory. Both sizes are in bytes.
template <class Sizes, class Inputs>
struct Preparation {
  int64_t (*packed_size)(const Sizes&);
  void (*pack)(const Sizes&, const Inputs&, int64_t direction,
               const Block& packed);
  int64_t (*scratch_size)(const Sizes&, const Share&);
};

// The functions of one instruction set.
template <class Sizes, class Inputs, class Outputs, class Residuals,
          class Gradients>
struct Kernel {
  const char* name;
  bool (*supported)();
  int64_t (*stride)(int64_t n);  // Floats from one row of n to the next.
  Preparation<Sizes, Inputs> before_forward, before_backward;
  void (*forward)(const Sizes&, const Inputs&, const Outputs&, const Share&,
                  const Block& packed, const Block& scratch);
  void (*backward)(const Sizes&, const Inputs&, const Residuals&,
                   const Gradients&, const Share&, const Block& packed,
                   const Block& scratch);
};

}  // namespace bigru
