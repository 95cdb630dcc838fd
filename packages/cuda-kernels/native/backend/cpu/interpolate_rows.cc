// Weighted sums of a table's rows: y[i] = Σ weights[i][t] · table[index[i][t]] over the taps t.
#include <algorithm>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

void interpolate_rows(const Call& call) {
  using namespace operands::interpolate_rows;
  const auto index = call.matrix<const std::int32_t>(INDEX);
  const auto weights = call.matrix<const float>(WEIGHTS);
  const auto y = call.matrix<float>(Y);
  with_float_type(call.step.operands[TABLE].dtype, [&](auto* table_type) {
    const auto table = call.matrix<std::remove_pointer_t<decltype(table_type)>>(TABLE);
    check_row_index(call, index, table.rows);
    for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
      float* out = y.row(row);
      std::fill_n(out, y.columns, 0.0f);
      for (std::size_t tap = 0; tap < index.columns; ++tap) {
        const auto* from = table.row(static_cast<std::size_t>(index.row(row)[tap]));
        const float weight = weights.row(row)[tap];
        for (std::size_t i = 0; i < y.columns; ++i) out[i] += weight * to_float(from[i]);
      }
    });
  });
}

}  // namespace vitgraph::cpu
