// The tile table of the attention kernels: which rows of which segment a block computes. Made on the host with a run's
// metadata; plain C++, no CUDA.
//
// With the table the grid needs no longest segment and no row count: a graph captured for a capacity runs exactly the
// tiles that its content has. The tiles of the longest segments come first, so that no long one starts last.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace vitgraph::kernels {

/// As it lies in device memory, 16 bytes.
struct alignas(16) AttentionTile {
  /// First row of the segment in q, k, v and y.
  std::int32_t segment_start;
  /// Rows of the segment: the keys of every row of the tile.
  std::int32_t segment_length;
  /// First row of the tile, counted from the segment's start. The tile ends with the segment.
  std::int32_t first_row;
  std::int32_t unused;
};

/// The most tiles that `segments` segments of `rows` rows in all can make: every segment may end in a part of a tile.
constexpr std::size_t attention_tile_capacity(std::size_t rows, std::size_t segments, std::size_t tile_rows) {
  const std::size_t nonempty = std::min(rows, segments);
  return nonempty + (rows - nonempty) / tile_rows;
}

/// Writes the tiles of the segments [cu_seqlens[i], cu_seqlens[i + 1]) and returns how many there are; `tiles` holds
/// attention_tile_capacity. `order` is scratch, kept by the caller so that a run allocates nothing.
inline std::size_t build_attention_tiles(std::span<const std::int32_t> cu_seqlens, std::int32_t tile_rows,
                                         std::vector<std::int32_t>& order, std::span<AttentionTile> tiles) {
  const auto length = [&](std::int32_t segment) {
    const auto at = static_cast<std::size_t>(segment);
    return cu_seqlens[at + 1] - cu_seqlens[at];
  };
  order.resize(cu_seqlens.empty() ? 0 : cu_seqlens.size() - 1);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return length(a) != length(b) ? length(a) > length(b) : a < b;
  });
  std::size_t count = 0;
  for (const std::int32_t segment : order) {
    const std::int32_t start = cu_seqlens[static_cast<std::size_t>(segment)];
    for (std::int32_t row = 0; row < length(segment); row += tile_rows) {
      tiles[count++] = {start, length(segment), row, 0};
    }
  }
  return count;
}

}  // namespace vitgraph::kernels
