// Weighted sums of a table's rows: learned position embeddings, interpolated for each patch.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct InterpolateRowsOperands {
  /// [table rows, columns]
  View<const Bf16> table;
  /// [rows, taps], dense: rows of the table. The host has checked the range.
  const std::int32_t* index;
  /// [rows, taps]
  View<const float> weights;
  /// [rows, columns]
  View<Bf16> y;
  Rows rows;
  std::int32_t columns;
  std::int32_t taps;
};

/// y[i] = Σ weights[i][t] · table[index[i][t]] over the taps t. Any column count; fastest with a multiple
/// of 8 and rows of table and y aligned to 16 bytes.
cudaError_t launch_interpolate_rows(const Launch& launch, const InterpolateRowsOperands& operands);

}  // namespace vitgraph::kernels::smxx
