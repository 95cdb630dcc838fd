// y = (x · factor − shift) · scale for each column.
#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {
using namespace operands::standardize;

/// Shift and scale as f32.
std::size_t standardize_scratch_bytes(const Program& program, const Instruction& instruction, const Engine&) {
  return 2 * sizeof(float) * operand_of(program, instruction, Y).columns;
}

void standardize(const Call& call) {
  const auto x = call.matrix<const float>(X);
  const auto y = call.matrix<float>(Y);
  const float factor = call.number(0);
  // Widened once, by this thread, in its scratch; the others only read them.
  float* shift = call.thread_scratch<float>(0);
  float* scale = shift + y.columns;
  const Operand* operands = call.step.operands.data();
  call.engine.simd.widen(operands[SHIFT].data, operands[SHIFT].dtype, y.columns, shift);
  call.engine.simd.widen(operands[SCALE].data, operands[SCALE].dtype, y.columns, scale);
  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    const float* from = x.row(row);
    float* to = y.row(row);
    for (std::size_t i = 0; i < y.columns; ++i) to[i] = (from[i] * factor - shift[i]) * scale[i];
  });
}

}  // namespace vitgraph::cpu
