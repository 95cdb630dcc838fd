// The operands of a linear layer, the same on every architecture.
#pragma once

#include "kernels/common/activation.h"
#include "kernels/common/launch.h"

namespace vitgraph::kernels {

/// y = activation(x · weightᵀ + bias) + residual; or + residual[residual_rows] where a table of rows is given.
struct LinearOperands {
  /// [rows, inner]
  View<const Bf16> x;
  /// [columns, inner]
  View<const Bf16> weight;
  /// [columns]; null for none.
  const Bf16* bias;
  /// [rows, columns]; null data for none. y may be the residual.
  View<const Bf16> residual;
  /// [rows, columns]
  View<Bf16> y;
  Rows rows;
  std::int32_t columns;
  std::int32_t inner;
  /// [rows]: the row of `residual` that is added to each row of y. Null: the row of the same number. The host has checked
  /// that they are rows of it.
  const std::int32_t* residual_rows = nullptr;
};

}  // namespace vitgraph::kernels
