// Varlen attention on wgmma and the bulk tensor copy engine, for compute capability 9.0 (built for sm_90a).
#pragma once

#include "kernels/common/attention.h"

namespace vitgraph::kernels::sm90 {

/// How the blocks of a launch share its work out. Device memory, zero before the first launch; every launch leaves it
/// zero. Launches that may run at the same time need one each.
struct AttentionWork {
  std::int32_t next;
  std::int32_t finished;
};

/// Head sizes 64, 72, 80, 96, 128. `tile_height` is the height that the tile table was made with: 64, 128 or 192 (192
/// up to head size 80); attention_tile_height chooses. q, k, v: base and row stride multiples of 16 bytes, with
/// `row_capacity` rows. y: multiples of 4 bytes. y must not overlap q, k or v.
cudaError_t launch_attention(const Launch& launch, const AttentionOperands& operands, AttentionWork* work,
                             std::int32_t tile_height);

/// The tile height to take when a run brings up to `rows` rows in segments of up to `longest_segment`: the tallest that a
/// segment fills and that still gives every multiprocessor work. Taller tiles read keys and values less often.
std::int32_t attention_tile_height(std::int32_t rows, std::int32_t longest_segment, std::int32_t heads,
                                   std::int32_t head_size, std::int32_t multiprocessors);

}  // namespace vitgraph::kernels::sm90
