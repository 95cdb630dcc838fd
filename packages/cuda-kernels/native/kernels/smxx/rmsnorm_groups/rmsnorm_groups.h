// Root-mean-square normalisation of each group of columns of a row.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct RmsnormGroupsOperands {
  /// [rows, groups · columns]; y may be x.
  View<const Bf16> x;
  View<Bf16> y;
  /// [columns]; null for a weight of 1.
  const Bf16* weight;
  Rows rows;
  std::int32_t columns;
  std::int32_t groups;
  float epsilon;
};

/// y = x / sqrt(mean of x² + epsilon) · weight over each group. Any column count; designed for attention heads of about
/// 100 columns.
cudaError_t launch_rmsnorm_groups(const Launch& launch, const RmsnormGroupsOperands& operands);

}  // namespace vitgraph::kernels::smxx
