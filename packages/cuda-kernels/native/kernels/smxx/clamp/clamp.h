// Elements of a matrix between two bounds.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct ClampOperands {
  /// [rows, columns]; y may be x.
  View<const Bf16> x;
  View<Bf16> y;
  /// A number each.
  const Bf16* low;
  const Bf16* high;
  Rows rows;
  std::int32_t columns;
};

/// y = min(max(x, low), high); NaN stays NaN. Any column count; a multiple of 8 with rows at multiples of 16 bytes is fast.
cudaError_t launch_clamp(const Launch& launch, const ClampOperands& operands);

}  // namespace vitgraph::kernels::smxx
