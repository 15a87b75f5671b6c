// The bidirectional GRU for one instruction set.
//
// The equations, at a real position t of one example, with x = x_t and the
// state h' = h_{t-1} (the direction's own t - 1), fed as s = keep * h':
//
//   r = sigmoid(W_ir x + b_r + W_hr s)
//   z = sigmoid(W_iz x + b_z + W_hz s)
//   q = W_hn s + b_hn
//   n = tanh(W_in x + b_n + r q)
//   h = (1 - z) n + z h'
//
// and backwards, with dh the gradient of the loss by h:
//
//   d_n = dh (1 - z) (1 - n^2)       by the argument of tanh
//   d_q = d_n r
//   d_r = d_q q (1 - r)              by the argument of r's sigmoid
//   d_z = dh (h' - n) z (1 - z)      by the argument of z's sigmoid
//   dh' = dh z + keep (W_hr^T d_r + W_hz^T d_z + W_hn^T d_q)
//
// Padded positions are skipped. The real positions of consecutive steps are
// gathered into a *chunk* of rows, and each large product runs over the rows of
// a chunk:
//
//   inputs  [rows, E + H]       a row is x, s, each with padding to whole words
//   gates   [rows, 4H (+ pad)]  a row is n, r, z, q
//
// With the gates in this order, the columns n, r, z depend on x and the columns
// r, z, q on s, so that one product with x and one with s fill them all. In the
// products, X and S are the two parts of `inputs`, and G[nrz] and G[rzq] are
// columns of `gates`.

#include "cpu_arena-inl.h"
#include "cpu_gemm-inl.h"
#include "cpu_pack-inl.h"
#include "gru_cpu.h"
#include "gru_cpu_cell-inl.h"
#include "gru_cpu_scratch-inl.h"
#include "gru_cpu_steps-inl.h"
#include "gru_cpu_weights-inl.h"

namespace bigru::INSTRUCTION_SET {
namespace {

using Outputs = GruOutputs<Number>;
using Residuals = GruResiduals<Number>;
using Gradients = GruGradients<Number>;

// The work on one share: some of the examples in one direction.
class DirectionTask {
 public:
  DirectionTask(const GruSizes& sizes, const Inputs& in, const Share& share,
                const CommonScratch& scratch)
      : s_(sizes), in_(in), share_(share), steps_(scratch.steps) {}

  void Forward(const ForwardWeights& weights, const Outputs& out,
               const ForwardScratch& scratch) const;
  void Backward(const BackwardWeights& weights, const Residuals& residuals,
                const Gradients& gradients,
                const BackwardScratch& scratch) const;

 private:
  int64_t XOffset(int64_t step, int64_t b) const {
    return steps_.Position(step, b) * s_.E;
  }
  // The offset of a position in h and in its gradient.
  int64_t StateOffset(int64_t step, int64_t b) const {
    return (steps_.Position(step, b) * 2 + share_.direction) * s_.H;
  }
  // The offset of an example in h0, in keep and in their gradients.
  int64_t FirstStateOffset(int64_t b) const {
    return (share_.direction * s_.B + b) * s_.H;
  }
  // The offset of a position in the saved gates.
  int64_t GatesOffset(int64_t step, int64_t b) const {
    return ((share_.direction * s_.T + step) * s_.B + b) * 4 * s_.H;
  }
  // The state h_{t-1} before a step.
  const Number* PreviousState(const Number* h, int64_t step, int64_t b) const {
    return step ? h + StateOffset(step - 1, b) : in_.h0 + FirstStateOffset(b);
  }

  // Writes x to the row `inputs`.
  void FeedInput(int64_t step, int64_t b, Number* inputs) const {
    Copy(s_.E, in_.x + XOffset(step, b), inputs);
    Zero(StateColumn(s_) - s_.E, inputs + s_.E);
  }
  // Writes s = keep * h_{t-1} to the row `inputs`.
  template <class State>
  void FeedState(const State* previous, int64_t b, Number* inputs) const {
    Number* fed = inputs + StateColumn(s_);
    Zero(InputStride(s_) - StateColumn(s_) - s_.H, fed + s_.H);
    if (!in_.keep) return Copy(s_.H, previous, fed);
    const float* keep = in_.keep + FirstStateOffset(b);
    ForEachBlock(s_.H, [=](auto simd, int64_t j) {
      simd.Store(fed + j, simd.Load(previous + j) * simd.Load(keep + j));
    });
  }

  // The three parts of a chunk's backward pass.
  void BackwardSteps(const Chunk& chunk, const Word* w_recurrent,
                     const Residuals& residuals, const Gradients& gradients,
                     const BackwardScratch& scratch) const;
  void InputGradients(const Chunk& chunk, const Word* w_input,
                      const Gradients& out,
                      const BackwardScratch& scratch) const;
  void AddWeightGradients(const Chunk& chunk, const Gradients& out,
                          const BackwardScratch& scratch) const;

  const GruSizes s_;
  const Inputs& in_;
  const Share share_;
  const Steps& steps_;
};

void DirectionTask::Forward(const ForwardWeights& weights, const Outputs& out,
                            const ForwardScratch& scratch) const {
  const int64_t E = s_.E, H = s_.H, ldx = InputStride(s_), ldg = GateStride(s_);
  // The state before a step.
  auto state = [&](int64_t step, int64_t b) {
    const int64_t half = step % 2 * steps_.NumExamples();
    return scratch.states + (half + b - share_.first) * H;
  };
  for (int64_t b = share_.first; b < share_.last; ++b) {
    Copy(H, in_.h0 + FirstStateOffset(b), state(0, b));
  }
  for (Chunk chunk = steps_.ChunkFrom(0);;
       chunk = steps_.ChunkFrom(chunk.last)) {
    Number* inputs = scratch.inputs;
    float* gates = scratch.gates;
    steps_.ForEachRow(chunk, [&](int64_t row, int64_t step, int64_t b) {
      FeedInput(step, b, inputs + row * ldx);
    });
    // G[nrz] [rows, 3H] = b_[nrz] + X [rows, E] W_i^T [E, 3H]
    Gemm(chunk.rows, 3 * H, E, NoTrans(inputs, ldx), Packed(weights.input, E),
         Broadcast(weights.bias), gates, ldg);
    for (int64_t row = 0; row < chunk.rows; ++row) {
      Copy(H, weights.bias + 3 * H, gates + row * ldg + 3 * H);
    }
    for (int64_t step = chunk.first; step < chunk.last; ++step) {
      const int64_t rows = steps_.NumReal(step);
      steps_.ForEachReal(step, [&](int64_t row, int64_t b) {
        FeedState(state(step, b), b, inputs + row * ldx);
      });
      // G[rzq] [rows, 3H] += S [rows, H] W_h^T [H, 3H]
      Gemm(rows, 3 * H, H, NoTrans(inputs + StateColumn(s_), ldx),
           Packed(weights.recurrent, H), {gates + H, ldg}, gates + H, ldg);
      steps_.ForEachReal(step, [&](int64_t row, int64_t b) {
        Cell(H, gates + row * ldg, state(step, b), state(step + 1, b),
             out.h + StateOffset(step, b),
             out.gates ? out.gates + GatesOffset(step, b) : nullptr);
      });
      steps_.ForEachPadded(step, [&](int64_t b) {
        Copy(H, state(step, b), state(step + 1, b));
        Copy(H, PreviousState(out.h, step, b), out.h + StateOffset(step, b));
      });
      inputs += rows * ldx;
      gates += rows * ldg;
    }
    if (chunk.last == s_.T) break;
  }
}

void DirectionTask::Backward(const BackwardWeights& weights,
                             const Residuals& residuals,
                             const Gradients& gradients,
                             const BackwardScratch& scratch) const {
  const int64_t E = s_.E, H = s_.H, ldx = InputStride(s_), ldg = GateStride(s_);
  const int64_t first_state = FirstStateOffset(share_.first);
  Zero(E > H ? E : H, scratch.zeros);
  Zero(steps_.NumExamples() * H, scratch.carry);
  Zero(E * gradients.stride, gradients.d_input);
  Zero(H * gradients.stride, gradients.d_recurrent);
  Zero(gradients.stride, gradients.d_bias);
  // AddWeightGradients reads the padding of the rows.
  for (int64_t row = 0; row < steps_.capacity(); ++row) {
    Zero(ldg - 4 * H, scratch.gates + row * ldg + 4 * H);
  }
  if (in_.keep) Zero(steps_.NumExamples() * H, gradients.dkeep + first_state);

  for (Chunk chunk = steps_.ChunkUpTo(s_.T);;
       chunk = steps_.ChunkUpTo(chunk.first)) {
    steps_.ForEachRow(chunk, [&](int64_t row, int64_t step, int64_t b) {
      Number* inputs = scratch.inputs + row * ldx;
      FeedInput(step, b, inputs);
      FeedState(PreviousState(residuals.h, step, b), b, inputs);
    });
    BackwardSteps(chunk, weights.recurrent, residuals, gradients, scratch);
    InputGradients(chunk, weights.input, gradients, scratch);
    AddWeightGradients(chunk, gradients, scratch);
    if (chunk.first == 0) break;
  }
  Copy(steps_.NumExamples() * H, scratch.carry, gradients.dh0 + first_state);
}

// Replaces the chunk's gates by their gradients, dG, from the last step to the
// first, and leaves in `carry` the gradient of the state before the chunk.
void DirectionTask::BackwardSteps(const Chunk& chunk, const Word* w_recurrent,
                                  const Residuals& residuals,
                                  const Gradients& gradients,
                                  const BackwardScratch& scratch) const {
  const int64_t H = s_.H, ldg = GateStride(s_);
  Number* d_gates = scratch.gates + chunk.rows * ldg;
  for (int64_t step = chunk.last - 1; step >= chunk.first; --step) {
    const int64_t rows = steps_.NumReal(step);
    d_gates -= rows * ldg;
    steps_.ForEachReal(step, [&](int64_t row, int64_t b) {
      CellGradient(H, residuals.gates + GatesOffset(step, b),
                   PreviousState(residuals.h, step, b),
                   scratch.carry + (b - share_.first) * H,
                   residuals.dh + StateOffset(step, b), d_gates + row * ldg,
                   scratch.dh_z + row * H);
    });
    steps_.ForEachPadded(step, [&](int64_t b) {
      Add(H, residuals.dh + StateOffset(step, b),
          scratch.carry + (b - share_.first) * H);
    });
    // dS [rows, H] = dG[rzq] [rows, 3H] W_h [3H, H]
    Gemm(rows, H, 3 * H, NoTrans(d_gates + H, ldg), Packed(w_recurrent, 3 * H),
         Broadcast(scratch.zeros), scratch.ds, H);
    steps_.ForEachReal(step, [&](int64_t row, int64_t b) {
      const int64_t first = FirstStateOffset(b);
      PreviousStateGradient(H, scratch.dh_z + row * H, scratch.ds + row * H,
                            PreviousState(residuals.h, step, b),
                            in_.keep ? in_.keep + first : nullptr,
                            in_.keep ? gradients.dkeep + first : nullptr,
                            scratch.carry + (b - share_.first) * H);
    });
  }
}

void DirectionTask::InputGradients(const Chunk& chunk, const Word* w_input,
                                   const Gradients& out,
                                   const BackwardScratch& scratch) const {
  const int64_t E = s_.E, H = s_.H;
  Number* const dx = out.dx[share_.direction];
  // dX [rows, E] = dG[nrz] [rows, 3H] W_i [3H, E]
  Gemm(chunk.rows, E, 3 * H, NoTrans(scratch.gates, GateStride(s_)),
       Packed(w_input, 3 * H), Broadcast(scratch.zeros), scratch.dx, E);
  steps_.ForEachRow(chunk, [&](int64_t row, int64_t step, int64_t b) {
    Copy(E, scratch.dx + row * E, dx + (step * s_.B + b) * out.dx_stride);
  });
}

void DirectionTask::AddWeightGradients(const Chunk& chunk,
                                       const Gradients& out,
                                       const BackwardScratch& scratch) const {
  const int64_t E = s_.E, H = s_.H, ldx = InputStride(s_), ldg = GateStride(s_);
  const MatrixA x =
      Trans(chunk.rows, ldx, scratch.inputs, scratch.input_words);
  const MatrixA s = {x.data + StateColumn(s_) * x.row_stride, x.row_stride,
                     x.column_stride};
  const Word* d_gates =
      JoinAllRows(chunk.rows, ldg, scratch.gates, scratch.gate_words);
  // dW_i^T [E, 3H] += X^T [E, rows] dG[nrz] [rows, 3H]
  Gemm(E, 3 * H, chunk.rows, x, Unpacked(d_gates, ldg),
       {out.d_input, out.stride}, out.d_input, out.stride);
  // dW_h^T [H, 3H] += S^T [H, rows] dG[rzq] [rows, 3H]
  Gemm(H, 3 * H, chunk.rows, s, Unpacked(d_gates + H, ldg),
       {out.d_recurrent, out.stride}, out.d_recurrent, out.stride);
  // db [4H] += the sum of dG [rows, 4H] over the rows
  AddRows(out.stride, chunk.rows, scratch.gates, ldg, out.d_bias);
}

void Forward(const GruSizes& sizes, const Inputs& in, const Outputs& out,
             const Share& share, const Block& packed, const Block& scratch) {
  const Tiles tiles;
  auto carved = Carve<ForwardScratch>(scratch, sizes, share);
  carved.steps.Sort(in.mask);
  DirectionTask(sizes, in, share, carved)
      .Forward(Carve<ForwardWeights>(packed, sizes), out, carved);
}

void Backward(const GruSizes& sizes, const Inputs& in,
              const Residuals& residuals, const Gradients& gradients,
              const Share& share, const Block& packed, const Block& scratch) {
  const Tiles tiles;
  auto carved = Carve<BackwardScratch>(scratch, sizes, share);
  carved.steps.Sort(in.mask);
  DirectionTask(sizes, in, share, carved)
      .Backward(Carve<BackwardWeights>(packed, sizes), residuals, gradients,
                carved);
}

}  // namespace

extern const GruKernel<Number> kGru = {
    BIGRU_STRING(INSTRUCTION_SET),
    Supported,
    Stride,
    {Measure<ForwardWeights, GruSizes>, PackForward,
     Measure<ForwardScratch, GruSizes, Share>},
    {Measure<BackwardWeights, GruSizes>, PackBackward,
     Measure<BackwardScratch, GruSizes, Share>},
    Forward,
    Backward,
    Add<Number, Number>,
};

}  // namespace bigru::INSTRUCTION_SET
