// Root-mean-square normalisation of each row.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct RmsnormOperands {
  /// [rows, columns]; y may be x.
  View<const Bf16> x;
  View<Bf16> y;
  /// [columns]
  const Bf16* weight;
  Rows rows;
  std::int32_t columns;
  float epsilon;
  float weight_offset;
};

/// y = x / sqrt(mean of x² + epsilon) · (weight + weight_offset) over each row. Any column count. With rows and weight
/// aligned to 16 bytes and a multiple of 8 columns, up to 8192, the kernel keeps a row in registers.
cudaError_t launch_rmsnorm(const Launch& launch, const RmsnormOperands& operands);

}  // namespace vitgraph::kernels::smxx
