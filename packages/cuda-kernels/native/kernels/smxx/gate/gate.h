// The gated activation of an MLP.
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

/// y = function(gate) · up. Any column count; fastest with multiples of 8 and rows aligned to 16 bytes, then with
/// multiples of 4 (some MLPs have 3420 columns) and 8 bytes.
cudaError_t launch_gate(const Launch& launch, const GateOperands& operands, Activation function);

}  // namespace vitgraph::kernels::smxx
