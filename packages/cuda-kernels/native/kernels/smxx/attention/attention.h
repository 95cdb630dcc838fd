// Varlen attention on mma.sync, for compute capability 8.0 and newer.
#pragma once

#include "kernels/common/attention.h"

namespace vitgraph::kernels::smxx {

/// Rows of a tile; the table must be made with it.
inline constexpr std::int32_t kAttentionTileRows = 128;

/// Head sizes 64, 72, 80, 96, 128. q, k, v: base and row stride multiples of 16 bytes. y: multiples of 4 bytes.
/// y must not overlap q, k or v.
cudaError_t launch_attention(const Launch& launch, const AttentionOperands& operands);

}  // namespace vitgraph::kernels::smxx
