// Grids of the kernels that work row by row: enough blocks to fill the device, which then walk to the real row count.
#pragma once

#include <algorithm>

#include "kernels/common/launch.h"

namespace vitgraph::kernels {

/// What a multiprocessor holds at once; these kernels' register use allows all or nearly all of it.
inline constexpr std::int64_t kResidentThreads = 2048;

/// Blocks for `items` pieces of work, `block_items` in a block of `threads` at a time.
inline dim3 walking_grid(const Launch& launch, std::int64_t items, std::int64_t block_items, int threads = 256) {
  const std::int64_t resident = kResidentThreads / threads * launch.multiprocessors;
  return dim3(static_cast<unsigned>(std::clamp<std::int64_t>(divide_up(items, block_items), 1, resident)));
}

}  // namespace vitgraph::kernels
