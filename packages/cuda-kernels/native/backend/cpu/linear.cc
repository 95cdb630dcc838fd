// y = activation(x · weightᵀ + bias) + residual.
#include <algorithm>

#include "backend/cpu/activation_math.h"
#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

void linear(const Call& call) {
  enum { X, WEIGHT, BIAS, RESIDUAL, Y };
  const auto x = call.matrix<const float>(X);
  const auto y = call.matrix<float>(Y);
  const auto function = static_cast<Activation>(call.count(0));
  with_float_type(call.step.operands[WEIGHT].dtype, [&](auto* weight_type) {
    with_float_type(call.step.operands[BIAS].dtype, [&](auto* bias_type) {
      const auto* bias = reinterpret_cast<decltype(bias_type)>(call.step.operands[BIAS].data);
      const auto weight = call.matrix<std::remove_pointer_t<decltype(weight_type)>>(WEIGHT);
      const auto residual = call.matrix<const float>(RESIDUAL);
      for_each_row(call.pool, y.rows, x.columns * 16, [&](std::size_t row) {
        for (std::size_t n = 0; n < y.columns; ++n) {
          float sum = 0;
          for (std::size_t k = 0; k < x.columns; ++k) sum += x.row(row)[k] * to_float(weight.row(n)[k]);
          if (bias != nullptr) sum += to_float(bias[n]);
          sum = activate(function, sum);
          if (call.has(RESIDUAL)) sum += residual.row(row)[n];
          y.row(row)[n] = sum;
        }
      });
    });
  });
}

}  // namespace vitgraph::cpu
