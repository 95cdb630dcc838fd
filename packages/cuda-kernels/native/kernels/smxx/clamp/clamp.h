// Clamps the elements of a matrix.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct ClampOperands {
  /// [rows, columns]; y may be x.
  View<const Bf16> x;
  View<Bf16> y;
  /// One element each.
  const Bf16* low;
  const Bf16* high;
  Rows rows;
  std::int32_t columns;
};

/// y = min(max(x, low), high); NaN stays NaN. Any column count; fastest with a multiple of 8 and rows aligned to 16
/// bytes.
cudaError_t launch_clamp(const Launch& launch, const ClampOperands& operands);

}  // namespace vitgraph::kernels::smxx
