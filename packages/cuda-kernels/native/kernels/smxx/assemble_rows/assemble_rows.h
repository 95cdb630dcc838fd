// Rows of a matrix and learned rows, in the order of an index.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct AssembleRowsOperands {
  View<const Bf16> x;
  View<const Bf16> learned;
  /// [rows]. The host has checked that they are rows of x, or of `learned`: −1 is its first.
  const std::int32_t* index;
  /// [rows, columns]
  View<Bf16> y;
  Rows rows;
  std::int32_t columns;
};

/// y[i] = index[i] < 0 ? learned[−1 − index[i]] : x[index[i]]. Any column count; a multiple of 8 with rows at multiples of
/// 16 bytes is fast. y must not overlap x.
cudaError_t launch_assemble_rows(const Launch& launch, const AssembleRowsOperands& operands);

}  // namespace vitgraph::kernels::smxx
