// The examples of a share that have a real position at each step.

#pragma once

#include <cstdint>

#include "cpu_arena-inl.h"
#include "cpu_gemm-inl.h"
#include "gru_cpu.h"

namespace bigru::INSTRUCTION_SET {
namespace {

// Some consecutive steps, and how many real positions they have.
struct Chunk {
  int64_t first, last, rows;
};

// The examples of a share, grouped by the direction's own steps.
class Steps {
 public:
  Steps(const GruSizes& s, const Share& share, Arena& arena)
      : T_(s.T),
        share_(share),
        capacity_(NumExamples() > kChunk ? NumExamples() : kChunk),
        num_real_(arena.Take<int32_t>(T_)),
        examples_(arena.Take<int32_t>(T_ * NumExamples())) {}

  // Groups the examples; this is the only reader of the mask [B, T].
  void Sort(const bool* mask) {
    Zero(T_, num_real_);
    for (int64_t b = share_.first; b < share_.last; ++b) {
      for (int64_t step = 0; step < T_; ++step) {
        int32_t* const examples = examples_ + step * NumExamples();
        if (mask[Position(step, b)]) {
          examples[num_real_[step]++] = static_cast<int32_t>(b);
        } else {
          const int64_t padded = b - share_.first - num_real_[step];
          examples[NumExamples() - 1 - padded] = static_cast<int32_t>(b);
        }
      }
    }
  }

  // The maximal number of rows in a chunk; no step has more.
  int64_t capacity() const { return capacity_; }
  int64_t NumExamples() const { return share_.last - share_.first; }
  int64_t NumReal(int64_t step) const { return num_real_[step]; }

  // The index into [B, T] of an example's position at the direction's step.
  int64_t Position(int64_t step, int64_t b) const {
    return b * T_ + (share_.direction ? T_ - 1 - step : step);
  }

  // The chunk with the most steps that begins at `first`.
  Chunk ChunkFrom(int64_t first) const {
    Chunk chunk = {first, first, 0};
    for (; chunk.last < T_; ++chunk.last) {
      const int64_t rows = chunk.rows + NumReal(chunk.last);
      if (rows > capacity_) break;
      chunk.rows = rows;
    }
    return chunk;
  }
  // The chunk with the most steps that ends before `last`.
  Chunk ChunkUpTo(int64_t last) const {
    Chunk chunk = {last, last, 0};
    for (; chunk.first > 0; --chunk.first) {
      const int64_t rows = chunk.rows + NumReal(chunk.first - 1);
      if (rows > capacity_) break;
      chunk.rows = rows;
    }
    return chunk;
  }

  // Calls f(row, example) for each example with a real position at a step.
  template <class F>
  void ForEachReal(int64_t step, F f) const {
    const int32_t* examples = examples_ + step * NumExamples();
    const int64_t rows = NumReal(step);
    for (int64_t row = 0; row < rows; ++row) f(row, examples[row]);
  }
  // Calls f(example) for each example with a padded position at a step.
  template <class F>
  void ForEachPadded(int64_t step, F f) const {
    const int32_t* examples = examples_ + step * NumExamples();
    for (int64_t i = NumReal(step); i < NumExamples(); ++i) f(examples[i]);
  }
  // Calls f(row, step, example) for each real position of a chunk.
  template <class F>
  void ForEachRow(const Chunk& chunk, F f) const {
    int64_t first_row = 0;
    for (int64_t step = chunk.first; step < chunk.last; ++step) {
      ForEachReal(step,
                  [&](int64_t row, int64_t b) { f(first_row + row, step, b); });
      first_row += NumReal(step);
    }
  }

 private:
  int64_t T_;
  Share share_;
  int64_t capacity_;
  int32_t* num_real_;  // [T]
  int32_t* examples_;  // [T, NumExamples()], real positions first at each step
};

}  // namespace
}  // namespace bigru::INSTRUCTION_SET
