// Varlen attention on wgmma and TMA, for compute capability 9.0 (built for sm_90a).
#pragma once

#include "kernels/common/attention.h"

namespace vitgraph::kernels::sm90 {

/// The work counters of a launch's blocks. Device memory, zero before the first launch; every launch resets it to zero.
/// Concurrent launches need separate ones.
struct AttentionWork {
  std::int32_t next;
  std::int32_t finished;
};

/// Head sizes 64, 72, 80, 96, 128. `tallest` must be that of the tiling of the tile table: 128, or up to head size 80
/// also 192. q, k, v, y: base and row stride multiples of 16 bytes, with `row_capacity` rows. y must not overlap q, k
/// or v.
cudaError_t launch_attention(const Launch& launch, const AttentionOperands& operands, AttentionWork* work,
                             std::int32_t tallest);

/// The tiling for tables of runs with up to `rows` rows. Taller tiles read keys and values less often. If tiles of 128
/// rows already fit in one wave, taller ones only take longer, and a smaller block starts sooner.
AttentionTiling attention_tiling(std::int32_t rows, std::int32_t heads, std::int32_t head_size,
                                 std::int32_t multiprocessors);

}  // namespace vitgraph::kernels::sm90
