// Varlen attention on mma.sync, for compute capability 8.0 and newer.
#pragma once

#include "kernels/common/attention.h"

namespace vitgraph::kernels::smxx {

/// Rows of a tile. The tile table must be built with this height only.
inline constexpr std::int32_t kAttentionTileRows = 128;

inline AttentionTiling attention_tiling(std::int32_t heads, std::int32_t multiprocessors) {
  return {.heads = heads,
          .multiprocessors = multiprocessors,
          .tallest = kAttentionTileRows,
          .shortest = kAttentionTileRows};
}

/// Head sizes 64, 72, 80, 96, 128. q, k, v: base and row stride multiples of 16 bytes. y: multiples of 4 bytes.
/// y must not overlap q, k or v.
cudaError_t launch_attention(const Launch& launch, const AttentionOperands& operands);

}  // namespace vitgraph::kernels::smxx
