// Layer normalisation of each row.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct LayernormOperands {
  /// [rows, columns]; y may be x.
  View<const Bf16> x;
  View<Bf16> y;
  /// [columns] each.
  const Bf16* weight;
  const Bf16* bias;
  Rows rows;
  std::int32_t columns;
  float epsilon;
};

/// y = (x - mean) / sqrt(variance + epsilon) · weight + bias over each row. Any column count. With rows and weights
/// aligned to 16 bytes and a multiple of 8 columns, up to 8192, the kernel keeps a row in registers.
cudaError_t launch_layernorm(const Launch& launch, const LayernormOperands& operands);

}  // namespace vitgraph::kernels::smxx
