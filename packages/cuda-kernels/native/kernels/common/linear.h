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

/// Statistics of rows, written by the product that wrote the rows and read by the product after the norm: for each piece of
/// a row (the columns of one tile) the mean, and the sum of squared distances from it. The width of the pieces is the
/// writer's choice, so it stands in front: `data[0]` holds its bits, and the pairs [pieces, row_pitch] start at data[4].
struct RowStatistics {
  float* data;
  std::int32_t row_pitch;
};

/// No piece is narrower, but a row's last.
inline constexpr std::int32_t kLeastStatisticsWidth = 32;

/// The floats that the statistics of `rows` rows take at most.
inline std::int64_t row_statistics_size(std::int64_t rows, std::int64_t columns) {
  return 4 + divide_up<std::int64_t>(columns, kLeastStatisticsWidth) * rows * 2;
}

/// The norm before a product, folded into it: with γ in the weight, norm(x) · weightᵀ + bias = (x · weightᵀ − mean · u) / σ + v,
/// where u are the sums of the weight's rows, and v is β · weightᵀ + bias.
struct LinearNorm {
  /// Null data for no norm.
  RowStatistics statistics;
  /// A row of x is so many rows of the statistics.
  std::int32_t joined_rows;
  /// RMSNorm has no mean: σ is the root of the mean square.
  bool centred;
  float epsilon;
  /// [columns] each, at multiples of 8 bytes.
  const float* u;
  const float* v;
};

/// y = activation(x · weightᵀ + bias) + residual, or + residual[residual_rows] where a table of rows is given; or
/// rotation(x · weightᵀ + bias). A norm takes the place of the bias.
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
  /// Null data for none. Of y as it was rounded.
  RowStatistics statistics{};
  LinearNorm norm{};
};

}  // namespace vitgraph::kernels
