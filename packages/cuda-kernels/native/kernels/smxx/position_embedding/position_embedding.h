// Learned position embeddings, sampled at each patch.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

struct PositionEmbeddingOperands {
  /// [side², columns]
  View<const Bf16> table;
  /// [rows, 4]: row, column, height and width of the patch's grid. The host has checked row < height, column < width.
  View<const std::int32_t> positions;
  /// [rows, columns]
  View<Bf16> y;
  Rows rows;
  std::int32_t columns;
  std::int32_t side;
};

/// A square table, sampled bilinearly with corners aligned. Any column count; a multiple of 8 with rows of table and y
/// at multiples of 16 bytes is fast.
cudaError_t launch_position_embedding(const Launch& launch, const PositionEmbeddingOperands& operands);

}  // namespace vitgraph::kernels::smxx
