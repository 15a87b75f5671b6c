// Additive attention for one instruction set.
//
// The equations, at the real positions t of one example with the states h_t:
//
//   u_t = tanh(W^T h_t + b)
//   a = softmax(q . u)               over t
//   c = sum_t a_t h_t
//
// and backwards, with dc and da the gradients of the loss by c and by a:
//
//   g_t = dc . h_t + da_t            by a_t, also through c
//   e_t = a_t (g_t - sum_s a_s g_s)  by the score q . u_t
//   d_t = e_t q (1 - u_t^2)          by the argument of tanh
//   dh_t = a_t dc + W d_t
//
// Padded positions are skipped: the real positions of all examples are gathered
// into chunks of rows, and each product runs over the rows of a chunk. In the
// products, H holds the chunk's states, D its d_t, and G its a_t dc.

#include "attention_cpu.h"
#include "attention_cpu_scratch-inl.h"
#include "cpu_arena-inl.h"
#include "cpu_gemm-inl.h"
#include "cpu_pack-inl.h"
#include "cpu_simd-inl.h"

namespace bigru::INSTRUCTION_SET {
namespace {

using Outputs = AttentionOutputs<Number>;
using Residuals = AttentionResiduals<Number>;
using Gradients = AttentionGradients<Number>;

template <class T>
float Dot(int64_t n, const T* a, const T* b) {
  using simd = Simd<kLanes>;
  simd::Float sums = {};
  int64_t j = 0;
  for (; j <= n - kLanes; j += kLanes) {
    sums += simd::Load(a + j) * simd::Load(b + j);
  }
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += sums[lane];
  for (; j < n; ++j) sum += ToFloat(a[j]) * ToFloat(b[j]);
  return sum;
}

// The softmax of `scores` where `mask` is true, and zero elsewhere. Scores
// elsewhere may have any value; all scores are overwritten.
void Softmax(int64_t T, const bool* mask, float* scores, float* weights) {
  float top = -__builtin_inff(), total = 0;
  for (int64_t t = 0; t < T; ++t) {
    if (mask[t] && !(scores[t] <= top)) top = scores[t];
  }
  for (int64_t t = 0; t < T; ++t) scores[t] = mask[t] ? scores[t] - top : 0;
  ForEachBlock(T, [=](auto simd, int64_t t) {
    simd.Store(weights + t, simd.Exp(simd.Load(scores + t)));
  });
  for (int64_t t = 0; t < T; ++t) total += mask[t] ? weights[t] : 0;
  for (int64_t t = 0; t < T; ++t) weights[t] = mask[t] ? weights[t] / total : 0;
}

// The work on one share of the examples.
class AttentionTask {
 public:
  AttentionTask(const AttentionSizes& sizes, const Inputs& in,
                const Share& share, const CommonScratch& scratch)
      : s_(sizes), in_(in), share_(share), scratch_(scratch) {}

  void Forward(const ForwardWeights& weights, const Outputs& out,
               const ForwardScratch& scratch) const;
  void Backward(const BackwardWeights& weights, const Residuals& residuals,
                const Gradients& gradients,
                const BackwardScratch& scratch) const;

 private:
  // The score at a position b T + t, or its gradient.
  float& Score(int64_t position) const {
    return scratch_.scores[position - share_.first * s_.T];
  }

  // Gathers the real positions b T + t in chunks, copies their states into
  // rows, and calls f(rows, positions) for each chunk.
  template <class F>
  void ForEachChunk(F f) const {
    int64_t positions[kChunk], rows = 0;
    const int64_t last = share_.last * s_.T;
    for (int64_t position = share_.first * s_.T; position < last; ++position) {
      if (!in_.mask[position]) continue;
      Number* state = scratch_.states + rows * Stride(s_.F);
      Copy(s_.F, in_.h + position * s_.F, state);
      Zero(NumWords(s_.F) * kPerWord - s_.F, state + s_.F);
      positions[rows++] = position;
      if (rows == kChunk) {
        f(rows, positions);
        rows = 0;
      }
    }
    if (rows) f(rows, positions);
  }

  // Replaces the scores by their gradients, e_t, and sets dh to 0 at padding.
  void ScoreGradients(const Residuals& residuals, Number* dh) const;

  const AttentionSizes s_;
  const Inputs& in_;
  const Share share_;
  const CommonScratch& scratch_;
};

void AttentionTask::Forward(const ForwardWeights& weights, const Outputs& out,
                            const ForwardScratch& scratch) const {
  const int64_t T = s_.T, F = s_.F, A = s_.A, ldu = Stride(A);
  ForEachChunk([&](int64_t rows, const int64_t* positions) {
    // U [rows, A] = b + H [rows, F] W [F, A], before tanh
    Gemm(rows, A, F, NoTrans(scratch.states, Stride(F)),
         Packed(weights.kernel, F), Broadcast(in_.bias), scratch.arguments,
         ldu);
    for (int64_t row = 0; row < rows; ++row) {
      const float* arguments = scratch.arguments + row * ldu;
      float* const u = scratch.u;
      ForEachBlock(A, [=](auto simd, int64_t j) {
        simd.Store(u + j, simd.Tanh(simd.Load(arguments + j)));
      });
      if (out.u) Copy(A, u, out.u + positions[row] * A);
      Score(positions[row]) = Dot(A, u, in_.query);
    }
  });
  for (int64_t b = share_.first; b < share_.last; ++b) {
    const bool* mask = in_.mask + b * T;
    float* a = out.weights + b * T;
    Softmax(T, mask, &Score(b * T), a);
    Zero(F, scratch.context);
    for (int64_t t = 0; t < T; ++t) {
      if (mask[t]) AddScaled(F, a[t], in_.h + (b * T + t) * F, scratch.context);
    }
    Copy(F, scratch.context, out.context + b * F);
  }
}

void AttentionTask::ScoreGradients(const Residuals& residuals,
                                   Number* dh) const {
  const int64_t T = s_.T, F = s_.F;
  for (int64_t b = share_.first; b < share_.last; ++b) {
    const bool* mask = in_.mask + b * T;
    const float* a = residuals.weights + b * T;
    float mean = 0;
    for (int64_t t = 0; t < T; ++t) {
      const int64_t position = b * T + t;
      if (mask[t]) {
        Score(position) =
            residuals.d_weights[position] +
            Dot(F, residuals.d_context + b * F, in_.h + position * F);
        mean += a[t] * Score(position);
      } else {
        Zero(F, dh + position * F);
      }
    }
    for (int64_t t = 0; t < T; ++t) {
      if (mask[t]) Score(b * T + t) = a[t] * (Score(b * T + t) - mean);
    }
  }
}

void AttentionTask::Backward(const BackwardWeights& weights,
                             const Residuals& residuals,
                             const Gradients& gradients,
                             const BackwardScratch& scratch) const {
  const int64_t T = s_.T, F = s_.F, A = s_.A, ldd = Stride(A);
  Zero(F * A, gradients.d_kernel);
  Zero(A, gradients.d_bias);
  Zero(A, gradients.d_query);
  for (int64_t row = 0; row < kChunk; ++row) {  // Gemm reads the padding.
    Zero(ldd - A, scratch.d + row * ldd + A);
  }
  ScoreGradients(residuals, gradients.dh);
  ForEachChunk([&](int64_t rows, const int64_t* positions) {
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t position = positions[row];
      const float d_score = Score(position);
      const Number* u = residuals.u + position * A;
      const float* query = in_.query;
      Number* d = scratch.d + row * ldd;
      ForEachBlock(A, [=](auto simd, int64_t j) {
        const auto u_j = simd.Load(u + j);
        simd.Store(d + j, d_score * simd.Load(query + j) * (1 - u_j * u_j));
      });
      Add(A, d, gradients.d_bias);
      AddScaled(A, d_score, u, gradients.d_query);
      float* dh = scratch.dh + row * F;
      Zero(F, dh);
      AddScaled(F, residuals.weights[position],
                residuals.d_context + position / T * F, dh);
    }
    // dH [rows, F] = G [rows, F] + D [rows, A] W^T [A, F]
    Gemm(rows, F, A, NoTrans(scratch.d, ldd), Packed(weights.kernel, A),
         {scratch.dh, F}, scratch.dh, F);
    for (int64_t row = 0; row < rows; ++row) {
      Copy(F, scratch.dh + row * F, gradients.dh + positions[row] * F);
    }
    // dW [F, A] += H^T [F, rows] D [rows, A]
    const MatrixA states =
        Trans(rows, Stride(F), scratch.states, scratch.state_words);
    const Word* d = JoinAllRows(rows, ldd, scratch.d, scratch.d_words);
    Gemm(F, A, rows, states, Unpacked(d, ldd), {gradients.d_kernel, A},
         gradients.d_kernel, A);
  });
}

void Forward(const AttentionSizes& sizes, const Inputs& in, const Outputs& out,
             const Share& share, const Block& packed, const Block& scratch) {
  const Tiles tiles;
  const auto carved = Carve<ForwardScratch>(scratch, sizes, share);
  AttentionTask(sizes, in, share, carved)
      .Forward(Carve<ForwardWeights>(packed, sizes), out, carved);
}

void Backward(const AttentionSizes& sizes, const Inputs& in,
              const Residuals& residuals, const Gradients& gradients,
              const Share& share, const Block& packed, const Block& scratch) {
  const Tiles tiles;
  const auto carved = Carve<BackwardScratch>(scratch, sizes, share);
  AttentionTask(sizes, in, share, carved)
      .Backward(Carve<BackwardWeights>(packed, sizes), residuals, gradients,
                carved);
}

}  // namespace

extern const AttentionKernel<Number> kAttention = {
    BIGRU_STRING(INSTRUCTION_SET),
    Supported,
    Stride,
    {Measure<ForwardWeights, AttentionSizes>, PackForward,
     Measure<ForwardScratch, AttentionSizes, Share>},
    {Measure<BackwardWeights, AttentionSizes>, PackBackward,
     Measure<BackwardScratch, AttentionSizes, Share>},
    Forward,
    Backward,
    Add<Number, Number>,
};

}  // namespace bigru::INSTRUCTION_SET
