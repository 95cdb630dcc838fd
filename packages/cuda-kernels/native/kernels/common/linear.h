// The operands of a linear layer, the same on every architecture.
#pragma once

#include "kernels/common/activation.h"
#include "kernels/common/launch.h"

namespace vitgraph::kernels {

/// Two-dimensional RoPE of a product's first columns. Unlike in `rope`, pair i of a head is its columns
/// (2 i, 2 i + 1), so that one thread has both: the caller must have reordered the rows of the weight.
struct LinearRotation {
  /// [rows, 4]: row and column come first. The host has checked that they are valid rows of `angles`.
  View<const std::int32_t> positions;
  /// [positions, head_size / 2]: cosines of the head_size / 4 frequencies, then their sines. Rows aligned to 8 bytes.
  /// Null data for no rotation.
  View<const float> angles;
  /// Number of rotated columns, in heads of `head_size`, a multiple of 8.
  std::int32_t columns;
  std::int32_t head_size;
};

/// Row statistics, written by the product that wrote the rows and read by the product after the norm: for each piece of
/// a row (the columns of one tile) the mean, and the sum of squared distances from it. The writer chooses the piece
/// width and stores its bits in `data[0]`; the pairs [pieces, row_pitch] start at data[4].
struct RowStatistics {
  float* data;
  std::int32_t row_pitch;
};

/// Minimum width of a piece, except for a row's last.
inline constexpr std::int32_t kLeastStatisticsWidth = 32;

/// Maximum floats of the statistics of `rows` rows.
inline std::int64_t row_statistics_size(std::int64_t rows, std::int64_t columns) {
  return 4 + divide_up<std::int64_t>(columns, kLeastStatisticsWidth) * rows * 2;
}

/// The norm before a product, folded into it: with γ in the weight, norm(x) · weightᵀ + bias =
/// (x · weightᵀ − mean · u) / σ + v, where u are the sums of the weight's rows, and v is β · weightᵀ + bias.
struct LinearNorm {
  /// Null data for no norm.
  RowStatistics statistics;
  /// Rows of the statistics per row of x.
  std::int32_t joined_rows;
  /// False for RMSNorm, which has no mean: σ is the root of the mean square.
  bool centred;
  float epsilon;
  /// [columns] each, aligned to 8 bytes.
  const float* u;
  const float* v;
};

/// y = activation(x · weightᵀ + bias) + residual, or + residual[residual_rows] with a row table; or
/// rotation(x · weightᵀ + bias). A norm replaces the bias.
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
  /// [rows]: the row of `residual` added to each row of y. Null: the row of the same index. The host has checked that
  /// they are valid rows of it.
  const std::int32_t* residual_rows = nullptr;
  LinearRotation rotation{};
  /// Statistics of the rounded y. Null data for none.
  RowStatistics statistics{};
  LinearNorm norm{};
};

}  // namespace vitgraph::kernels
