// The middle of a gated MLP.
#pragma once

#include "kernels/common/activation.h"
#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct GateOperands {
  /// [rows, columns] each; y may be the gate. gate and up may be the halves of one packed product.
  View<const Bf16> gate;
  View<const Bf16> up;
  View<Bf16> y;
  Rows rows;
  std::int32_t columns;
};

/// y = function(gate) · up. Any column count; multiples of 8 or 4 with rows at multiples of 16 or 8 bytes
/// are fast: some MLPs have 3420.
cudaError_t launch_gate(const Launch& launch, const GateOperands& operands, Activation function);

}  // namespace vitgraph::kernels::smxx
