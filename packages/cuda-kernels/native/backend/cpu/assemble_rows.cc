// Rows of a matrix and learned rows, in the order of an index whose negative values name the learned ones.
#include <algorithm>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

void assemble_rows(const Call& call) {
  using namespace operands::assemble_rows;
  const auto x = call.matrix<const float>(X);
  const auto index = call.matrix<const std::int32_t>(INDEX);
  const auto y = call.matrix<float>(Y);
  const Operand& learned = call.step.operands[LEARNED];
  const std::size_t learned_rows = learned.rows.at(call.counts);
  for (std::size_t row = 0; row < index.rows; ++row) {
    const std::int64_t target = *index.row(row);
    const bool known =
        target < 0 ? static_cast<std::size_t>(-1 - target) < learned_rows : static_cast<std::size_t>(target) < x.rows;
    if (known) continue;
    call.bad_contents("row " + std::to_string(row) + " of index is " + std::to_string(target) + ", and the table has " +
                      std::to_string(x.rows) + " rows, beside " + std::to_string(learned_rows) + " learned ones");
  }
  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    const std::int64_t target = *index.row(row);
    if (target >= 0) {
      std::copy_n(x.row(static_cast<std::size_t>(target)), y.columns, y.row(row));
      return;
    }
    const std::size_t start = static_cast<std::size_t>(-1 - target) * learned.row_stride;
    call.engine.simd.widen(learned.data + start * size_of(learned.dtype), learned.dtype, y.columns, y.row(row));
  });
}

}  // namespace vitgraph::cpu
