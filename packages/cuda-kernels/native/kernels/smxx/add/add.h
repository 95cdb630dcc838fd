// The sum of two matrices.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct AddOperands {
  /// [rows, columns] each; y may be a or b.
  View<const Bf16> a;
  View<const Bf16> b;
  View<Bf16> y;
  Rows rows;
  std::int32_t columns;
};

/// y = a + b. Any column count; fastest with a multiple of 8 and rows aligned to 16 bytes.
cudaError_t launch_add(const Launch& launch, const AddOperands& operands);

}  // namespace vitgraph::kernels::smxx
