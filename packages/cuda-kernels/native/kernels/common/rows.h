// Grids of row-wise kernels: enough blocks for one wave, with a grid-stride loop over the real rows.
#pragma once

#include <algorithm>

#include "kernels/common/launch.h"

namespace vitgraph::kernels {

/// Resident threads per SM; these kernels' register use allows all or nearly all of it.
inline constexpr std::int64_t kResidentThreads = 2048;

/// Grid for `items` work items, `block_items` at a time per block of `threads`.
inline dim3 walking_grid(const Launch& launch, std::int64_t items, std::int64_t block_items, int threads = 256) {
  const std::int64_t resident = kResidentThreads / threads * launch.multiprocessors;
  return dim3(static_cast<unsigned>(std::clamp<std::int64_t>(divide_up(items, block_items), 1, resident)));
}

}  // namespace vitgraph::kernels
