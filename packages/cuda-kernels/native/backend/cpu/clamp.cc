// y = min(max(x, low), high), the bounds being numbers of the checkpoint. NaN stays NaN.
#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

void clamp(const Call& call) {
  using namespace operands::clamp;
  const auto x = call.matrix<const float>(X);
  const auto y = call.matrix<float>(Y);
  const auto bound = [&](std::size_t operand) {
    float value = 0;
    call.engine.simd.widen(call.step.operands[operand].data, call.step.operands[operand].dtype, 1, &value);
    return value;
  };
  const float low = bound(LOW);
  const float high = bound(HIGH);
  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    const float* from = x.row(row);
    float* to = y.row(row);
    for (std::size_t i = 0; i < y.columns; ++i) {
      const float raised = from[i] < low ? low : from[i];
      to[i] = raised > high ? high : raised;
    }
  });
}

}  // namespace vitgraph::cpu
