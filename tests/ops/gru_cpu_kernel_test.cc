// The GRU of one instruction set against the equations in plain double
// precision loops, over shapes and masks drawn at random. It is compiled with
// gru_cpu_kernel.cc. Usage: gru_cpu_kernel_test [SEEDS]

#include "bigru_jax/ops/gru_cpu.h"
#include "kernel_test.h"

namespace bigru::INSTRUCTION_SET {
extern const GruKernel<Number> kGru;
}

struct Case {
  bigru::GruSizes s;
  bool has_keep;
  Array x, w_input, w_recurrent, b, b_n, h0, keep, dh;
  std::unique_ptr<bool[]> mask;

  explicit Case(unsigned seed) {
    Random random(seed);
    s = {random.Size(40), random.Size(150), random.Size(140),
         random.Size(140)};
    has_keep = random.engine() % 2;
    const auto [T, B, E, H] = s;
    x = random.Rounded(B * T * E, 1);
    w_input = random.Rounded(2 * 3 * H * E, E);
    w_recurrent = random.Rounded(2 * 3 * H * H, H);
    b = random.Floats(2 * 3 * H, 1);
    b_n = random.Floats(2 * H, 1);
    h0 = random.Rounded(2 * B * H, 1);
    keep = random.Floats(has_keep ? 2 * B * H : 0, 1);
    dh = random.Rounded(B * T * 2 * H, 1);
    mask = random.Mask(B * T);
  }
};

struct Results {
  Doubles h, dx, dw_input, dw_recurrent, db, db_n, dh0, dkeep;
  explicit Results(const bigru::GruSizes& s)
      : h(s.B * s.T * 2 * s.H),
        dx(s.B * s.T * s.E),
        dw_input(6 * s.H * s.E),
        dw_recurrent(6 * s.H * s.H),
        db(6 * s.H),
        db_n(2 * s.H),
        dh0(2 * s.B * s.H),
        dkeep(2 * s.B * s.H) {}
};

double Sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

// One example in one direction, forwards and backwards.
void Reference(const Case& c, int d, int64_t example, Results& out) {
  const int64_t T = c.s.T, B = c.s.B, E = c.s.E, H = c.s.H;
  const float* wi = c.w_input.data() + d * 3 * H * E;
  const float* wh = c.w_recurrent.data() + d * 3 * H * H;
  const float* b = c.b.data() + d * 3 * H;
  std::vector<Doubles> states{Doubles(H)}, gates;
  for (int64_t j = 0; j < H; ++j) {
    states[0][j] = c.h0[(d * B + example) * H + j];
  }
  auto keep = [&](int64_t j) {
    return c.has_keep ? c.keep[(d * B + example) * H + j] : 1.0;
  };
  for (int64_t step = 0; step < T; ++step) {
    const int64_t t = d ? T - 1 - step : step;
    const int64_t position = example * T + t;
    Doubles next = states.back(), gate(4 * H);
    if (c.mask[position]) {
      for (int64_t j = 0; j < H; ++j) {
        double sums[3], recurrent[3];
        for (int g = 0; g < 3; ++g) {
          const int64_t row = g * H + j;
          sums[g] = b[row];
          recurrent[g] = g == 2 ? c.b_n[d * H + j] : 0.0;
          for (int64_t e = 0; e < E; ++e) {
            sums[g] += wi[row * E + e] * c.x[position * E + e];
          }
          for (int64_t k = 0; k < H; ++k) {
            recurrent[g] += wh[row * H + k] * states.back()[k] * keep(k);
          }
        }
        const double r = Sigmoid(sums[0] + recurrent[0]);
        const double z = Sigmoid(sums[1] + recurrent[1]);
        const double q = recurrent[2];
        const double n = std::tanh(sums[2] + r * q);
        next[j] = (1 - z) * n + z * states.back()[j];
        gate[j] = n, gate[H + j] = r, gate[2 * H + j] = z, gate[3 * H + j] = q;
      }
    }
    for (int64_t j = 0; j < H; ++j) out.h[(position * 2 + d) * H + j] = next[j];
    states.push_back(next);
    gates.push_back(gate);
  }
  Doubles carry(H);
  for (int64_t step = T - 1; step >= 0; --step) {
    const int64_t t = d ? T - 1 - step : step;
    const int64_t position = example * T + t;
    const Doubles &before = states[step], &gate = gates[step];
    for (int64_t j = 0; j < H; ++j)
      carry[j] += c.dh[(position * 2 + d) * H + j];
    if (!c.mask[position]) continue;
    Doubles previous(H);
    for (int64_t j = 0; j < H; ++j) {
      const double n = gate[j], r = gate[H + j], z = gate[2 * H + j];
      const double q = gate[3 * H + j], dh = carry[j];
      const double d_n = dh * (1 - z) * (1 - n * n);
      const double by_gate[3] = {d_n * q * r * (1 - r),
                                 dh * (before[j] - n) * z * (1 - z), d_n};
      previous[j] += dh * z;
      out.db_n[d * H + j] += d_n * r;
      for (int g = 0; g < 3; ++g) {
        const int64_t row = g * H + j;
        const double by_recurrent = g == 2 ? d_n * r : by_gate[g];
        out.db[d * 3 * H + row] += by_gate[g];
        for (int64_t e = 0; e < E; ++e) {
          out.dx[position * E + e] += by_gate[g] * wi[row * E + e];
          out.dw_input[(d * 3 * H + row) * E + e] +=
              by_gate[g] * c.x[position * E + e];
        }
        for (int64_t k = 0; k < H; ++k) {
          const double back = by_recurrent * wh[row * H + k];
          previous[k] += back * keep(k);
          out.dkeep[(d * B + example) * H + k] += back * before[k];
          out.dw_recurrent[(d * 3 * H + row) * H + k] +=
              by_recurrent * before[k] * keep(k);
        }
      }
    }
    carry = previous;
  }
  for (int64_t j = 0; j < H; ++j) out.dh0[(d * B + example) * H + j] = carry[j];
}

// Adds the weight gradients of a share up in the order of the parameters.
void AddWeightGradients(const Case& c, int64_t direction,
                        const bigru::GruGradients<Number>& share,
                        Results& out) {
  const int64_t E = c.s.E, H = c.s.H, stride = share.stride;
  for (int64_t j = 0; j < H; ++j) {
    // The columns of the inputs' gradients are n, r, z.
    const int64_t columns[3] = {H + j, 2 * H + j, j};
    for (int g = 0; g < 3; ++g) {
      const int64_t row = (direction * 3 + g) * H + j;
      out.db[row] += share.d_bias[columns[g]];
      for (int64_t e = 0; e < E; ++e) {
        out.dw_input[row * E + e] += share.d_input[e * stride + columns[g]];
      }
      for (int64_t k = 0; k < H; ++k) {
        out.dw_recurrent[row * H + k] +=
            share.d_recurrent[k * stride + g * H + j];
      }
    }
    out.db_n[direction * H + j] += share.d_bias[3 * H + j];
  }
}

// Runs the kernel as gru_cpu.cc does, the batch in two shares.
Results Run(const Case& c) {
  const bigru::GruKernel<Number>& kernel = bigru::INSTRUCTION_SET::kGru;
  const auto [T, B, E, H] = c.s;
  Results out(c.s);
  const Numbers x = Round(c.x), h0 = Round(c.h0), dh = Round(c.dh);
  const Numbers w_input = Round(c.w_input), w_recurrent = Round(c.w_recurrent);
  Numbers h(B * T * 2 * H), gates(2 * T * B * 4 * H), dx(B * T * E);
  // As in gru_cpu.cc, in the memory of the gates if a row is long enough.
  const int64_t dx_stride = std::max(E, 4 * H);
  Numbers own(E > 4 * H ? 2 * T * B * E : 0);
  Number* const parts = own.empty() ? gates.data() : own.data();
  Array dh0(2 * B * H), dkeep(c.has_keep ? 2 * B * H : 0);
  const bigru::GruInputs<Number> inputs = {
      x.data(),       c.mask.get(),
      w_input.data(), w_recurrent.data(),
      c.b.data(),     c.b_n.data(),
      h0.data(),      c.has_keep ? c.keep.data() : nullptr};
  const bigru::GruOutputs<Number> outputs = {h.data(), gates.data()};
  const bigru::GruResiduals<Number> residuals = {h.data(), gates.data(),
                                                 dh.data()};
  const int64_t stride = kernel.stride(4 * H);
  for (int64_t direction = 0; direction < 2; ++direction) {
    const Memory forward_packed(kernel.before_forward.packed_size(c.s));
    const Memory backward_packed(kernel.before_backward.packed_size(c.s));
    kernel.before_forward.pack(c.s, inputs, direction, forward_packed.block());
    kernel.before_backward.pack(c.s, inputs, direction,
                                backward_packed.block());
    for (int64_t i = 0; i < 2; ++i) {
      const bigru::Share share = {direction, i * B / 2, (i + 1) * B / 2};
      kernel.forward(
          c.s, inputs, outputs, share, forward_packed.block(),
          Memory(kernel.before_forward.scratch_size(c.s, share)).block());
      Array d_input(E * stride, NAN), d_recurrent(H * stride, NAN);
      Array d_bias(stride, NAN);
      const bigru::GruGradients<Number> gradients = {
          {parts, parts + T * B * dx_stride},
          dx_stride,
          dh0.data(),
          dkeep.data(),
          stride,
          d_input.data(),
          d_recurrent.data(),
          d_bias.data()};
      kernel.backward(
          c.s, inputs, residuals, gradients, share, backward_packed.block(),
          Memory(kernel.before_backward.scratch_size(c.s, share)).block());
      AddWeightGradients(c, direction, gradients, out);
    }
  }
  for (int64_t i = 0; i < B * T; ++i) {
    const int64_t b = i / T, steps[] = {i % T, T - 1 - i % T};
    for (int64_t d = 0; d < 2 && c.mask[i]; ++d) {
      kernel.add(E, parts + ((d * T + steps[d]) * B + b) * dx_stride,
                 &dx[i * E]);
    }
  }
  out.h = Widen(h);
  out.dx = Widen(dx);
  out.dh0 = Widen(dh0);
  out.dkeep = Widen(dkeep);
  return out;
}

int main(int count, char** arguments) {
  const bool supported = bigru::INSTRUCTION_SET::kGru.supported();
  return RunSeeds(count, arguments, supported, [](int seed) {
    const Case c(seed);
    Results expected(c.s);
    for (int d = 0; d < 2; ++d) {
      for (int64_t b = 0; b < c.s.B; ++b) Reference(c, d, b, expected);
    }
    const Results actual = Run(c);
    return AllEqual(kOutputTolerance, {{"h", {actual.h, expected.h}}}) &&
           AllEqual(kGradientTolerance,
                    {{"dx", {actual.dx, expected.dx}},
                     {"dw_input", {actual.dw_input, expected.dw_input}},
                     {"dw_recurrent",
                      {actual.dw_recurrent, expected.dw_recurrent}},
                     {"db", {actual.db, expected.db}},
                     {"db_n", {actual.db_n, expected.db_n}},
                     {"dh0", {actual.dh0, expected.dh0}},
                     {"dkeep", {actual.dkeep, expected.dkeep}}});
  });
}
