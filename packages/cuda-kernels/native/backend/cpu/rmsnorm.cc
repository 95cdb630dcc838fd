// y = x / sqrt(mean of x² + epsilon) · (weight + offset) over each row.
#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {
using namespace operands::rmsnorm;

/// Weight and offset as f32.
std::size_t rmsnorm_scratch_bytes(const Program& program, const Instruction& instruction, const Engine&) {
  return sizeof(float) * operand_of(program, instruction, Y).columns;
}

void rmsnorm(const Call& call) {
  const auto x = call.matrix<const float>(X);
  const auto y = call.matrix<float>(Y);
  const float epsilon = call.number(0);
  const float offset = call.number(1);
  const Simd& simd = call.engine.simd;
  // Widened once, by this thread, in its scratch; the others only read it.
  float* weight = call.thread_scratch<float>(0);
  simd.widen(call.step.operands[WEIGHT].data, call.step.operands[WEIGHT].dtype, y.columns, weight);
  for (std::size_t i = 0; i < y.columns; i++) weight[i] += offset;
  for_each_row(call, y.rows, y.columns,
               [&](std::size_t row) { simd.rmsnorm_row(x.row(row), weight, epsilon, y.row(row), y.columns); });
}

}  // namespace vitgraph::cpu
