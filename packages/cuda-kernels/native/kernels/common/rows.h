// Grids of the kernels that work row by row: enough blocks to fill the device, which then walk to the real row count.
#pragma once

#include <algorithm>

#include "kernels/common/launch.h"

namespace vitgraph::kernels {

/// Blocks of 256 threads that a multiprocessor holds at once: 2048 threads, of which these kernels' register use allows
/// all or nearly all.
inline constexpr std::int64_t kResidentBlocks = 8;

/// Blocks for `items` pieces of work, `block_items` in a block at a time.
inline dim3 walking_grid(const Launch& launch, std::int64_t items, std::int64_t block_items) {
  const std::int64_t resident = kResidentBlocks * launch.multiprocessors;
  return dim3(static_cast<unsigned>(std::clamp<std::int64_t>(divide_up(items, block_items), 1, resident)));
}

}  // namespace vitgraph::kernels
