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

/// Head sizes 64, 72, 80, 96, 128. `tallest`: of the tiling that the tile table was made with, 128 or, up to head size 80,
/// 192. q, k, v, y: base and row stride multiples of 16 bytes, with `row_capacity` rows. y must not overlap q, k or v.
cudaError_t launch_attention(const Launch& launch, const AttentionOperands& operands, AttentionWork* work,
                             std::int32_t tallest);

/// The tiling to make tables with when runs bring up to `rows` rows. Tall tiles read keys and values less often. Where
/// tiles of 128 rows give every multiprocessor at most one, taller ones could only take longer, and a smaller block
/// starts sooner.
AttentionTiling attention_tiling(std::int32_t rows, std::int32_t heads, std::int32_t head_size,
                                 std::int32_t multiprocessors);

}  // namespace vitgraph::kernels::sm90
