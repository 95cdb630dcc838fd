// Shifts and scales each column.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct StandardizeOperands {
  /// [rows, columns]; y may be x.
  View<const Bf16> x;
  View<Bf16> y;
  /// [columns]
  const Bf16* shift;
  const Bf16* scale;
  Rows rows;
  std::int32_t columns;
  float factor;
};

/// y = (x · factor − shift) · scale. Any column count.
cudaError_t launch_standardize(const Launch& launch, const StandardizeOperands& operands);

}  // namespace vitgraph::kernels::smxx
