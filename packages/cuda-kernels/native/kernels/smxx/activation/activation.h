// An elementwise function of a matrix.
#pragma once

#include "kernels/common/activation.h"
#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct ActivationOperands {
  /// [rows, columns]; y may be x.
  View<const Bf16> x;
  View<Bf16> y;
  Rows rows;
  std::int32_t columns;
};

/// y = function(x). Any column count; fastest with a multiple of 8 and rows aligned to 16 bytes.
cudaError_t launch_activation(const Launch& launch, const ActivationOperands& operands, Activation function);

}  // namespace vitgraph::kernels::smxx
