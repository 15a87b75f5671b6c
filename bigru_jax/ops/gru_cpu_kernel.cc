// The bidirectional GRU for one instruction set.
//
// The equations, at a real position t of one example, with x = x_t and the
// state h' = h_{t-1} (the direction's own t - 1), fed as s = scale * h':
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
//   dh' = dh z + scale (W_hr^T d_r + W_hz^T d_z + W_hn^T d_q)
//
// A padded position is not computed at all. The real positions of consecutive
// steps are gathered into a *chunk* of rows, and all large products run over a
// chunk's rows:
//
//   inputs  [rows, E + H]       a row is x, s
//   gates   [rows, 4H (+ pad)]  a row is n, r, z, q
//
// In this order of the gates, the columns n, r, z belong to x and the columns
// r, z, q to s: one product each fills them, or takes its gradient from them.

#include "cpu_product.h"
#include "gru_cpu.h"

namespace bigru::INSTRUCTION_SET {
namespace {

// A position's h and, unless they are null, its gates n, r, z, q, from the
// gates' arguments.
void Cell(int64_t H, const float* arguments, const float* before, float* h,
          float* gates) {
  ForEachBlock(H, [=](auto simd, int64_t j) {
    const auto r = simd.Sigmoid(simd.Load(arguments + H + j));
    const auto z = simd.Sigmoid(simd.Load(arguments + 2 * H + j));
    const auto q = simd.Load(arguments + 3 * H + j);
    const auto n = simd.Tanh(simd.Load(arguments + j) + r * q);
    simd.Store(h + j, (1 - z) * n + z * simd.Load(before + j));
    if (gates) {
      simd.Store(gates + j, n);
      simd.Store(gates + H + j, r);
      simd.Store(gates + 2 * H + j, z);
      simd.Store(gates + 3 * H + j, q);
    }
  });
}

// The gradients by the gates' arguments, and `kept`, the share of dh that z
// passes on to the state before.
void CellGradient(int64_t H, const float* gates, const float* before,
                  const float* carry, const float* dy, float* d_gates,
                  float* kept) {
  ForEachBlock(H, [=](auto simd, int64_t j) {
    const auto n = simd.Load(gates + j);
    const auto r = simd.Load(gates + H + j);
    const auto z = simd.Load(gates + 2 * H + j);
    const auto q = simd.Load(gates + 3 * H + j);
    const auto dh = simd.Load(carry + j) + simd.Load(dy + j);
    const auto d_n = dh * (1 - z) * (1 - n * n);
    const auto d_q = d_n * r;
    simd.Store(d_gates + j, d_n);
    simd.Store(d_gates + H + j, d_q * q * (1 - r));
    simd.Store(d_gates + 2 * H + j,
               dh * (simd.Load(before + j) - n) * z * (1 - z));
    simd.Store(d_gates + 3 * H + j, d_q);
    simd.Store(kept + j, dh * z);
  });
}

// ---------------------------------------------------------------------------
// A direction of the layer over some of the examples.

class Layer {
 public:
  Layer(const Sizes& sizes, const Inputs& in, const Task& task, float* scratch)
      : s_(sizes), in_(in), task_(task), free_(scratch) {
    const int64_t d = task.direction, G = 3 * s_.H;
    w_input_ = in.w_input + d * G * s_.E;
    w_recurrent_ = in.w_recurrent + d * G * s_.H;
    capacity_ = Capacity(task.last - task.first);
    inputs_ = Take(capacity_ * InputStride());
    gates_ = Take(capacity_ * GateStride(s_));
  }

  static int64_t Capacity(int64_t examples) {
    return examples > kChunk ? examples : kChunk;
  }
  static int64_t GateStride(const Sizes& s) { return Stride(4 * s.H); }
  static int64_t Scratch(const Sizes& s, int64_t examples) {
    const int64_t rows = Capacity(examples), gates = RoundUp(3 * s.H, kPanel);
    const int64_t weights =
        (s.E + s.H) * gates +
        3 * s.H * (RoundUp(s.E, kPanel) + RoundUp(s.H, kPanel));
    return rows * (s.E + s.H + GateStride(s) + 2 * s.H + s.E) + weights +
           examples * s.H + 4 * s.H + s.E + s.H +
           16 * 16;  // Take() aligns each array.
  }

  void Forward(const Outputs& out);
  void Backward(const Residuals& residuals, const Gradients& gradients,
                const WeightGradients& weights);

 private:
  // Some consecutive steps, as many as have no more rows than the capacity.
  struct Chunk {
    int64_t first, last, rows;
  };

  float* Take(int64_t count) {
    float* taken = free_;
    free_ += RoundUp(count, 16);
    return taken;
  }

  int64_t InputStride() const { return s_.E + s_.H; }
  // A row of W_i, where they are counted in the order n, r, z.
  const float* InputWeights(int64_t row) const {
    return w_input_ + (row + 2 * s_.H) % (3 * s_.H) * s_.E;
  }
  // Where the direction is at its step `step`.
  int64_t Time(int64_t step) const {
    return task_.direction ? s_.T - 1 - step : step;
  }
  int64_t Position(int64_t step, int64_t b) const {
    return b * s_.T + Time(step);
  }
  bool Real(int64_t step, int64_t b) const {
    return in_.mask[Position(step, b)];
  }
  int64_t Count(int64_t step) const {
    int64_t count = 0;
    for (int64_t b = task_.first; b < task_.last; ++b) count += Real(step, b);
    return count;
  }
  const float* X(int64_t step, int64_t b) const {
    return in_.x + Position(step, b) * s_.E;
  }
  // An offset into h and its gradient.
  int64_t State(int64_t step, int64_t b) const {
    return (Position(step, b) * 2 + task_.direction) * s_.H;
  }
  // An offset into h0, scale and their gradients.
  int64_t First(int64_t b) const {
    return (task_.direction * s_.B + b) * s_.H;
  }
  // An offset into the saved gates.
  int64_t Gates(int64_t step, int64_t b) const {
    return ((task_.direction * s_.T + step) * s_.B + b) * 4 * s_.H;
  }
  // h_{t-1} of a step.
  const float* Before(const float* h, int64_t step, int64_t b) const {
    return step ? h + State(step - 1, b) : in_.h0 + First(b);
  }

  Chunk ChunkFrom(int64_t first) const {
    Chunk chunk = {first, first, 0};
    for (; chunk.last < s_.T; ++chunk.last) {
      const int64_t count = Count(chunk.last);
      if (chunk.rows + count > capacity_) break;
      chunk.rows += count;
    }
    return chunk;
  }
  Chunk ChunkUpTo(int64_t last) const {
    Chunk chunk = {last, last, 0};
    for (; chunk.first > 0; --chunk.first) {
      const int64_t count = Count(chunk.first - 1);
      if (chunk.rows + count > capacity_) break;
      chunk.rows += count;
    }
    return chunk;
  }

  // Calls f(row, step, b) for the real positions of the steps.
  template <class F>
  void ForEachRow(int64_t first, int64_t last, F f) const {
    int64_t row = 0;
    for (int64_t step = first; step < last; ++step) {
      for (int64_t b = task_.first; b < task_.last; ++b) {
        if (Real(step, b)) f(row++, step, b);
      }
    }
  }

  // s = scale * h_{t-1}.
  void Feed(const float* before, int64_t b, float* fed) const {
    if (!in_.scale) return Copy(s_.H, before, fed);
    const float* scale = in_.scale + First(b);
    for (int64_t j = 0; j < s_.H; ++j) fed[j] = before[j] * scale[j];
  }

  const Sizes s_;
  const Inputs& in_;
  const Task task_;
  float* free_;
  const float *w_input_, *w_recurrent_;
  int64_t capacity_;
  float *inputs_, *gates_;
};

void Layer::Forward(const Outputs& out) {
  const int64_t E = s_.E, H = s_.H, G = 3 * H, stride = GateStride(s_);
  // W_i^T with the columns n, r, z and W_h^T with the columns r, z, q.
  const Right w_input = PackColumns(
      E, G, [&](int64_t n) { return InputWeights(n); },
      Take(E * RoundUp(G, kPanel)));
  const Right w_recurrent = PackColumns(
      H, G, [&](int64_t n) { return w_recurrent_ + n * H; },
      Take(H * RoundUp(G, kPanel)));
  const float* b = in_.b + task_.direction * G;
  float* const bias = Take(4 * H);  // Of n, r, z and q.
  Copy(H, b + 2 * H, bias);
  Copy(2 * H, b, bias + H);
  Copy(H, in_.b_n + task_.direction * H, bias + G);

  for (Chunk chunk = ChunkFrom(0);; chunk = ChunkFrom(chunk.last)) {
    ForEachRow(chunk.first, chunk.last,
               [&](int64_t row, int64_t step, int64_t example) {
                 Copy(E, X(step, example), inputs_ + row * InputStride());
               });
    Product(chunk.rows, E, G, {inputs_, InputStride(), 1}, w_input, {bias, 0},
            gates_, stride);
    for (int64_t row = 0; row < chunk.rows; ++row) {
      Copy(H, bias + G, gates_ + row * stride + G);
    }
    float *inputs = inputs_, *gates = gates_;
    for (int64_t step = chunk.first; step < chunk.last; ++step) {
      ForEachRow(step, step + 1, [&](int64_t row, int64_t, int64_t example) {
        Feed(Before(out.h, step, example), example,
             inputs + row * InputStride() + E);
      });
      const int64_t rows = Count(step);
      Product(rows, H, G, {inputs + E, InputStride(), 1}, w_recurrent,
              {gates + H, stride}, gates + H, stride);
      int64_t row = 0;
      for (int64_t example = task_.first; example < task_.last; ++example) {
        const float* before = Before(out.h, step, example);
        float* h = out.h + State(step, example);
        if (Real(step, example)) {
          Cell(H, gates + row++ * stride, before, h,
               out.gates ? out.gates + Gates(step, example) : nullptr);
        } else {
          Copy(H, before, h);
        }
      }
      inputs += rows * InputStride();
      gates += rows * stride;
    }
    if (chunk.last == s_.T) break;
  }
}

void Layer::Backward(const Residuals& residuals, const Gradients& gradients,
                     const WeightGradients& weights) {
  const int64_t E = s_.E, H = s_.H, G = 3 * H, stride = GateStride(s_);
  // W_i with the rows n, r, z and W_h with the rows r, z, q.
  const Right w_input = PackRows(
      G, E, [&](int64_t k) { return InputWeights(k); },
      Take(G * RoundUp(E, kPanel)));
  const Right w_recurrent = PackRows(
      G, H, [&](int64_t k) { return w_recurrent_ + k * H; },
      Take(G * RoundUp(H, kPanel)));
  const int64_t examples = task_.last - task_.first;
  float* const carry = Take(examples * H);  // The gradient by h_{t-1}.
  float* const kept = Take(capacity_ * H);  // dh z,
  float* const back = Take(capacity_ * H);  // and W_h^T d.
  float* const dx = Take(capacity_ * E);
  float* const zeros = Take(E > H ? E : H);
  Zero(E > H ? E : H, zeros);
  Zero(examples * H, carry);
  Zero(E * stride, weights.d_input);
  Zero(H * stride, weights.d_recurrent);
  Zero(stride, weights.d_bias);
  for (int64_t row = 0; row < capacity_; ++row) {  // The padding is read, too.
    Zero(stride - 4 * H, gates_ + row * stride + 4 * H);
  }
  if (in_.scale) Zero(examples * H, gradients.dscale + First(task_.first));

  for (Chunk chunk = ChunkUpTo(s_.T);; chunk = ChunkUpTo(chunk.first)) {
    ForEachRow(chunk.first, chunk.last,
               [&](int64_t row, int64_t step, int64_t example) {
                 float* inputs = inputs_ + row * InputStride();
                 Copy(E, X(step, example), inputs);
                 Feed(Before(residuals.h, step, example), example, inputs + E);
               });
    float* d_gates = gates_ + chunk.rows * stride;
    for (int64_t step = chunk.last - 1; step >= chunk.first; --step) {
      const int64_t rows = Count(step);
      d_gates -= rows * stride;
      int64_t row = 0;
      for (int64_t example = task_.first; example < task_.last; ++example) {
        float* dh = carry + (example - task_.first) * H;
        const float* dy = residuals.dh + State(step, example);
        if (Real(step, example)) {
          CellGradient(H, residuals.gates + Gates(step, example),
                       Before(residuals.h, step, example), dh, dy,
                       d_gates + row * stride, kept + row * H);
          ++row;
        } else {
          for (int64_t j = 0; j < H; ++j) dh[j] += dy[j];
        }
      }
      Product(rows, G, H, {d_gates + H, stride, 1}, w_recurrent, {zeros, 0},
              back, H);
      ForEachRow(step, step + 1, [&](int64_t row, int64_t, int64_t example) {
        float* dh = carry + (example - task_.first) * H;
        const float* __restrict kept_row = kept + row * H;
        const float* __restrict back_row = back + row * H;
        if (!in_.scale) {
          for (int64_t j = 0; j < H; ++j) dh[j] = kept_row[j] + back_row[j];
          return;
        }
        const float* before = Before(residuals.h, step, example);
        const float* scale = in_.scale + First(example);
        float* dscale = gradients.dscale + First(example);
        for (int64_t j = 0; j < H; ++j) {
          dscale[j] += back_row[j] * before[j];
          dh[j] = kept_row[j] + back_row[j] * scale[j];
        }
      });
    }

    Product(chunk.rows, G, E, {gates_, stride, 1}, w_input, {zeros, 0}, dx, E);
    int64_t row = 0;
    for (int64_t step = chunk.first; step < chunk.last; ++step) {
      for (int64_t example = task_.first; example < task_.last; ++example) {
        float* out = gradients.dx[task_.direction] + Position(step, example) * E;
        if (Real(step, example)) {
          Copy(E, dx + row++ * E, out);
        } else {
          Zero(E, out);
        }
      }
    }
    Product(E, chunk.rows, G, {inputs_, 1, InputStride()}, {gates_, stride, 1},
            {weights.d_input, stride}, weights.d_input, stride);
    Product(H, chunk.rows, G, {inputs_ + E, 1, InputStride()},
            {gates_ + H, stride, 1}, {weights.d_recurrent, stride},
            weights.d_recurrent, stride);
    for (int64_t j = 0; j < stride; j += kLanes) {
      using simd = Simd<kLanes>;
      simd::Float sum = {};
      for (int64_t r = 0; r < chunk.rows; ++r) {
        sum += simd::Load(gates_ + r * stride + j);
      }
      simd::Store(weights.d_bias + j, simd::Load(weights.d_bias + j) + sum);
    }
    if (chunk.first == 0) break;
  }
  Copy(examples * H, carry, gradients.dh0 + First(task_.first));
}

}  // namespace

extern const Kernel kKernel = {
    BIGRU_STRING(INSTRUCTION_SET),
    Supported,
    Layer::Scratch,
    Layer::GateStride,
    [](const Sizes& sizes, const Inputs& in, const Outputs& out,
       const Task& task, float* scratch) {
      Layer(sizes, in, task, scratch).Forward(out);
    },
    [](const Sizes& sizes, const Inputs& in, const Residuals& residuals,
       const Gradients& gradients, const WeightGradients& weights,
       const Task& task, float* scratch) {
      Layer(sizes, in, task, scratch).Backward(residuals, gradients, weights);
    },
};

}  // namespace bigru::INSTRUCTION_SET
