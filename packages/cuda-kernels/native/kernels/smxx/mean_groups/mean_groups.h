// The mean over groups of columns.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct MeanGroupsOperands {
  /// [rows, groups · columns]
  View<const Bf16> x;
  /// [rows, columns]
  View<Bf16> y;
  Rows rows;
  std::int32_t columns;
  std::int32_t groups;
};

/// y[r][c] = mean over i of x[r][i · columns + c]. Any column count; fastest with a multiple of 8
/// and rows aligned to 16 bytes. y must not overlap x.
cudaError_t launch_mean_groups(const Launch& launch, const MeanGroupsOperands& operands);

}  // namespace vitgraph::kernels::smxx
