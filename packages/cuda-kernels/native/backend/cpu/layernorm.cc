// y = (x - mean) / sqrt(variance + epsilon) · weight + bias over each row.
#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {
using namespace operands::layernorm;

/// The weight and the bias as f32.
std::size_t layernorm_scratch_bytes(const Program& program, const Instruction& instruction, const Engine&) {
  return 2 * sizeof(float) * operand_of(program, instruction, Y).columns;
}

void layernorm(const Call& call) {
  const auto x = call.matrix<const float>(X);
  const auto y = call.matrix<float>(Y);
  const float epsilon = call.number(0);
  const Simd& simd = call.engine.simd;
  // Widened once, by this thread, in its scratch; the others only read it.
  float* weight = call.thread_scratch<float>(0);
  float* bias = weight + y.columns;
  simd.widen(call.step.operands[WEIGHT].data, call.step.operands[WEIGHT].dtype, y.columns, weight);
  simd.widen(call.step.operands[BIAS].data, call.step.operands[BIAS].dtype, y.columns, bias);
  for_each_row(call, y.rows, y.columns,
               [&](std::size_t row) { simd.layernorm_row(x.row(row), weight, bias, epsilon, y.row(row), y.columns); });
}

}  // namespace vitgraph::cpu
