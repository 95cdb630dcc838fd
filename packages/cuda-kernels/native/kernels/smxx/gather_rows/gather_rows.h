// Copies indexed rows out of a table or into a table, as bytes of any type.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct IndexedRowsOperands {
  /// `gather_rows`: the table. `scatter_rows`: the [rows] to write to the table. Strides are in bytes.
  View<const std::byte> x;
  /// `gather_rows`: [rows]. `scatter_rows`: the table.
  View<std::byte> y;
  /// [rows]: rows of the table. The host has checked the range.
  const std::int32_t* index;
  Rows rows;
  std::int32_t row_bytes;
};

/// y[i] = x[index[i]]. Row sizes and addresses are multiples of 2 bytes; fastest with multiples of 16.
cudaError_t launch_gather_rows(const Launch& launch, const IndexedRowsOperands& operands);

/// y[index[i]] = x[i], with the same alignment. Rows that are not in the index are not changed.
cudaError_t launch_scatter_rows(const Launch& launch, const IndexedRowsOperands& operands);

}  // namespace vitgraph::kernels::smxx
