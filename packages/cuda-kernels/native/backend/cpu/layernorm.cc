// y = (x - mean) / sqrt(variance + epsilon) · weight + bias over each row.
//
// Two passes over the row, which stays in the cache: the variance is taken around the mean, since the difference of
// mean squares would cancel in f32.
#include <algorithm>
#include <cmath>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

void layernorm(const Call& call) {
  enum { X, WEIGHT, BIAS, Y };
  const auto x = call.matrix<const float>(X);
  const auto y = call.matrix<float>(Y);
  const float epsilon = call.number(0);
  with_float_type(call.step.operands[WEIGHT].dtype, [&](auto* weight_type) {
    with_float_type(call.step.operands[BIAS].dtype, [&](auto* bias_type) {
      const auto* weight = reinterpret_cast<decltype(weight_type)>(call.step.operands[WEIGHT].data);
      const auto* bias = reinterpret_cast<decltype(bias_type)>(call.step.operands[BIAS].data);
      for_each_row(call.pool, y.rows, y.columns, [&](std::size_t row) {
        const float* in = x.row(row);
        float* out = y.row(row);
        const auto n = static_cast<float>(y.columns);
        float sum = 0;
        for (std::size_t i = 0; i < y.columns; ++i) sum += in[i];
        const float mean = sum / n;
        float squares = 0;
        for (std::size_t i = 0; i < y.columns; ++i) squares += (in[i] - mean) * (in[i] - mean);
        const float scale = 1.0f / std::sqrt(squares / n + epsilon);
        for (std::size_t i = 0; i < y.columns; ++i) {
          out[i] = (in[i] - mean) * scale * to_float(weight[i]) + to_float(bias[i]);
        }
      });
    });
  });
}

}  // namespace vitgraph::cpu
