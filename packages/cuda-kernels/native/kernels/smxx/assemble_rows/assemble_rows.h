// Combines rows of a matrix and learned rows, in the order of an index.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct AssembleRowsOperands {
  View<const Bf16> x;
  View<const Bf16> learned;
  /// [rows]: a row of x, or if negative a row of `learned` (−1 is the first). The host has checked the range.
  const std::int32_t* index;
  /// [rows, columns]
  View<Bf16> y;
  Rows rows;
  std::int32_t columns;
};

/// y[i] = index[i] < 0 ? learned[−1 − index[i]] : x[index[i]]. Any column count; fastest with a multiple
/// of 8 and rows aligned to 16 bytes. y must not overlap x.
cudaError_t launch_assemble_rows(const Launch& launch, const AssembleRowsOperands& operands);

}  // namespace vitgraph::kernels::smxx
