// The operands of attention, the same on every architecture.
#pragma once

#include <cstdint>

#include "kernels/common/attention_tiles.h"
#include "kernels/common/launch.h"

namespace vitgraph::kernels {

/// y = softmax(q · kᵀ · scale) · v for each head within each segment.
struct AttentionOperands {
  /// [patches, heads · head_size] each; may be column ranges of one packed projection.
  View<const Bf16> q;
  View<const Bf16> k;
  View<const Bf16> v;
  View<Bf16> y;
  /// Row capacity of q, k, v and y.
  std::int32_t row_capacity;
  std::int32_t heads;
  std::int32_t head_size;
  float scale;
  /// Device memory: the table of attention_tiles.h for the launcher's tiling, and its tile count.
  const AttentionStrip* tiles;
  Rows tile_count;
};

}  // namespace vitgraph::kernels
