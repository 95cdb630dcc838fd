// y = x / sqrt(mean of x² + epsilon) · weight over each group of columns of a row.
#include <algorithm>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {
using namespace operands::rmsnorm_groups;

/// The weight as f32.
std::size_t rmsnorm_groups_scratch_bytes(const Program& program, const Instruction& instruction, const Engine&) {
  return sizeof(float) * operand_of(program, instruction, Y).columns;
}

void rmsnorm_groups(const Call& call) {
  const auto x = call.matrix<const float>(X);
  const auto y = call.matrix<float>(Y);
  const std::size_t groups = call.count(0);
  const float epsilon = call.number(1);
  const std::size_t columns = y.columns / groups;
  const Simd& simd = call.engine.simd;
  // Widened once, by this thread, in its scratch; the others only read it.
  float* weight = call.thread_scratch<float>(0);
  if (call.has(WEIGHT))
    simd.widen(call.step.operands[WEIGHT].data, call.step.operands[WEIGHT].dtype, columns, weight);
  else
    std::fill_n(weight, columns, 1.0f);
  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    for (std::size_t start = 0; start < y.columns; start += columns)
      simd.rmsnorm_row(x.row(row) + start, weight, epsilon, y.row(row) + start, columns);
  });
}

}  // namespace vitgraph::cpu
