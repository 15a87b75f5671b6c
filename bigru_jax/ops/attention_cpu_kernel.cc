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
//   g_t = dc . h_t + da_t            by a_t, through c, too
//   e_t = a_t (g_t - sum_s a_s g_s)  by the score q . u_t
//   d_t = e_t q (1 - u_t^2)          by the argument of tanh
//   dh_t = a_t dc + W d_t
//
// A padded position is not computed: the real ones of all examples are gathered
// into chunks of rows, and the products run over a chunk's rows.

#include "attention_cpu.h"
#include "cpu_product.h"

namespace bigru::INSTRUCTION_SET {
namespace {

float Dot(int64_t n, const float* a, const float* b) {
  using simd = Simd<kLanes>;
  simd::Float sums = {};
  int64_t j = 0;
  for (; j <= n - kLanes; j += kLanes) {
    sums += simd::Load(a + j) * simd::Load(b + j);
  }
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += sums[lane];
  for (; j < n; ++j) sum += a[j] * b[j];
  return sum;
}

// y += factor x
void AddScaled(int64_t n, float factor, const float* __restrict x,
               float* __restrict y) {
  for (int64_t j = 0; j < n; ++j) y[j] += factor * x[j];
}

// The softmax of `scores` where `mask` is true, and zero elsewhere. What the
// scores are elsewhere does not matter; they are overwritten.
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

class Attention {
 public:
  Attention(const AttentionSizes& sizes, const AttentionInputs& in,
            const Share& share, float* scratch)
      : s_(sizes), in_(in), share_(share), free_(scratch) {
    states_ = Take(kChunk * Stride(s_.F));
    rows_ = Take(kChunk * Stride(s_.A));
    scores_ = Take((share.last - share.first) * s_.T);
  }

  static int64_t Scratch(const AttentionSizes& s, const Share& share) {
    const int64_t forward = s.F * RoundUp(s.A, kPanel) + s.A;
    const int64_t backward = s.A * RoundUp(s.F, kPanel) + kChunk * s.F;
    return kChunk * (Stride(s.F) + Stride(s.A)) +
           (share.last - share.first) * s.T +
           (forward > backward ? forward : backward) +
           8 * 16;  // Take() aligns each array.
  }

  void Forward(const AttentionOutputs& out);
  void Backward(const AttentionResiduals& residuals,
                const AttentionGradients& gradients);

 private:
  float* Take(int64_t count) {
    float* taken = free_;
    free_ += RoundUp(count, 16);
    return taken;
  }

  // The score at the position b T + t, later its gradient.
  float& Score(int64_t at) { return scores_[at - share_.first * s_.T]; }

  // Gathers the real positions, b T + t, in chunks, with their states as rows,
  // and calls f(rows, positions).
  template <class F>
  void ForEachChunk(F f) {
    int64_t positions[kChunk], rows = 0;
    const int64_t last = share_.last * s_.T;
    for (int64_t at = share_.first * s_.T; at < last; ++at) {
      if (!in_.mask[at]) continue;
      Copy(s_.F, in_.h + at * s_.F, states_ + rows * Stride(s_.F));
      positions[rows++] = at;
      if (rows == kChunk) {
        f(rows, positions);
        rows = 0;
      }
    }
    if (rows) f(rows, positions);
  }

  const AttentionSizes s_;
  const AttentionInputs& in_;
  const Share share_;
  float* free_;
  float *states_, *rows_, *scores_;
};

void Attention::Forward(const AttentionOutputs& out) {
  const int64_t T = s_.T, F = s_.F, A = s_.A, stride = Stride(A);
  const Right kernel = PackRows(
      F, A, [&](int64_t f) { return in_.kernel + f * A; },
      Take(F * RoundUp(A, kPanel)));
  float* const unsaved = Take(A);
  ForEachChunk([&](int64_t rows, const int64_t* positions) {
    Product(rows, F, A, {states_, Stride(F), 1}, kernel, {in_.bias, 0}, rows_,
            stride);
    for (int64_t row = 0; row < rows; ++row) {
      const float* arguments = rows_ + row * stride;
      float* const u = out.u ? out.u + positions[row] * A : unsaved;
      ForEachBlock(A, [=](auto simd, int64_t j) {
        simd.Store(u + j, simd.Tanh(simd.Load(arguments + j)));
      });
      Score(positions[row]) = Dot(A, u, in_.query);
    }
  });
  for (int64_t b = share_.first; b < share_.last; ++b) {
    const bool* mask = in_.mask + b * T;
    float* weights = out.weights + b * T;
    float* context = out.context + b * F;
    Softmax(T, mask, &Score(b * T), weights);
    Zero(F, context);
    for (int64_t t = 0; t < T; ++t) {
      if (mask[t]) AddScaled(F, weights[t], in_.h + (b * T + t) * F, context);
    }
  }
}

void Attention::Backward(const AttentionResiduals& residuals,
                         const AttentionGradients& gradients) {
  const int64_t T = s_.T, F = s_.F, A = s_.A, stride = Stride(A);
  const Right transposed = PackColumns(
      A, F, [&](int64_t f) { return in_.kernel + f * A; },
      Take(A * RoundUp(F, kPanel)));
  float* const dh = Take(kChunk * F);
  Zero(F * A, gradients.d_kernel);
  Zero(A, gradients.d_bias);
  Zero(A, gradients.d_query);
  for (int64_t row = 0; row < kChunk; ++row) {  // The padding is read, too.
    Zero(stride - A, rows_ + row * stride + A);
  }

  for (int64_t b = share_.first; b < share_.last; ++b) {
    const bool* mask = in_.mask + b * T;
    const float* weights = residuals.weights + b * T;
    float mean = 0;
    for (int64_t t = 0; t < T; ++t) {
      const int64_t at = b * T + t;
      if (mask[t]) {
        Score(at) = residuals.d_weights[at] +
                    Dot(F, residuals.d_context + b * F, in_.h + at * F);
        mean += weights[t] * Score(at);
      } else {
        Zero(F, gradients.dh + at * F);
      }
    }
    for (int64_t t = 0; t < T; ++t) {
      if (mask[t]) Score(b * T + t) = weights[t] * (Score(b * T + t) - mean);
    }
  }

  ForEachChunk([&](int64_t rows, const int64_t* positions) {
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t at = positions[row];
      const float d_score = Score(at);
      const float* __restrict u = residuals.u + at * A;
      const float* __restrict query = in_.query;
      float* __restrict d = rows_ + row * stride;
      for (int64_t j = 0; j < A; ++j) {
        d[j] = d_score * query[j] * (1 - u[j] * u[j]);
      }
      AddScaled(A, 1, d, gradients.d_bias);
      AddScaled(A, d_score, u, gradients.d_query);
      float* out = dh + row * F;
      Zero(F, out);
      AddScaled(F, residuals.weights[at], residuals.d_context + at / T * F,
                out);
    }
    Product(rows, A, F, {rows_, stride, 1}, transposed, {dh, F}, dh, F);
    for (int64_t row = 0; row < rows; ++row) {
      Copy(F, dh + row * F, gradients.dh + positions[row] * F);
    }
    Product(F, rows, A, {states_, 1, Stride(F)}, {rows_, stride, 1},
            {gradients.d_kernel, A}, gradients.d_kernel, A);
  });
}

}  // namespace

extern const AttentionKernel kAttention = {
    BIGRU_STRING(INSTRUCTION_SET),
    Supported,
    Attention::Scratch,
    [](const AttentionSizes& sizes, const AttentionInputs& in,
       const AttentionOutputs& out, const Share& share, float* scratch) {
      Attention(sizes, in, share, scratch).Forward(out);
    },
    [](const AttentionSizes& sizes, const AttentionInputs& in,
       const AttentionResiduals& residuals, const AttentionGradients& gradients,
       const Share& share, float* scratch) {
      Attention(sizes, in, share, scratch).Backward(residuals, gradients);
    },
};

}  // namespace bigru::INSTRUCTION_SET
