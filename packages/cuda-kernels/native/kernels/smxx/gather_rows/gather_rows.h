// Rows that an index names, out of a table or into one. Bytes are copied, whatever they mean.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct IndexedRowsOperands {
  /// `gather_rows`: the table. `scatter_rows`: [rows] of what goes into it. Strides are in bytes.
  View<const std::byte> x;
  /// `gather_rows`: [rows]. `scatter_rows`: the table.
  View<std::byte> y;
  /// [rows]. The host has checked that they are rows of the table.
  const std::int32_t* index;
  Rows rows;
  std::int32_t row_bytes;
};

/// y[i] = x[index[i]]. Rows of an even number of bytes at even addresses; multiples of 16 are fast.
cudaError_t launch_gather_rows(const Launch& launch, const IndexedRowsOperands& operands);

/// y[index[i]] = x[i], as above. Rows that the index does not name stay as they are.
cudaError_t launch_scatter_rows(const Launch& launch, const IndexedRowsOperands& operands);

}  // namespace vitgraph::kernels::smxx
