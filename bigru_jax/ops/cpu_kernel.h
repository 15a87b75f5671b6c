// What the interfaces of the kernels, gru_cpu.h and attention_cpu.h, share.

#ifndef BIGRU_JAX_OPS_CPU_KERNEL_H_
#define BIGRU_JAX_OPS_CPU_KERNEL_H_

#include <cstdint>

namespace bigru {

// Memory of `size` bytes, aligned to kAlignment, not initialized.
constexpr int64_t kAlignment = 64;
struct Block {
  char* data;
  int64_t size;
};

}  // namespace bigru

#endif  // BIGRU_JAX_OPS_CPU_KERNEL_H_
