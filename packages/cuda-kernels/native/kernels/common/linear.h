// The operands of a linear layer, the same on every architecture.
#pragma once

#include "kernels/common/activation.h"
#include "kernels/common/launch.h"

namespace vitgraph::kernels {

/// Two-dimensional rotary embedding of a product's first columns. Unlike that of `rope`, pair i of a head is its columns
/// (2 i, 2 i + 1), so that both stand in one thread: whoever asks for it has put the rows of the weight in that order.
struct LinearRotation {
  /// [rows, 4]: row and column come first. The host has checked that they are rows of `angles`.
  View<const std::int32_t> positions;
  /// [positions, head_size / 2]: cosines of the head_size / 4 frequencies, then their sines. Rows at
  /// multiples of 8 bytes. Null data for no rotation.
  View<const float> angles;
  /// How many columns turn, in heads of `head_size`, a multiple of 8.
  std::int32_t columns;
  std::int32_t head_size;
};

/// y = activation(x · weightᵀ + bias) + residual, or + residual[residual_rows] where a table of rows is given; or
/// rotation(x · weightᵀ + bias).
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
  LinearRotation rotation{};
};

}  // namespace vitgraph::kernels
