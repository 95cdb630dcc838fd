// The tile table of the attention kernels: the rows, segment and head that a block computes. Built on the host from a
// run's metadata. Plain C++ without CUDA, so src/attention-tiles.test.ts tests it without a GPU.
//
// With the table the grid depends on neither the longest segment nor the row count: a graph captured for a capacity
// computes exactly the tiles of its batch, at heights chosen for it. Heights and order do not change results: rows are
// independent, and the keys of a row are always processed in the same steps.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#ifdef __CUDACC__
#define VITGRAPH_HOST_DEVICE __host__ __device__
#else
#define VITGRAPH_HOST_DEVICE
#endif

namespace vitgraph::kernels {

/// Consecutive tiles of one height in one segment. The table has an entry per tile, the same for all tiles of a strip.
/// 32 bytes in device memory.
struct alignas(16) AttentionStrip {
  /// First row of the segment in q, k, v and y.
  std::int32_t segment_start;
  /// Rows of the segment: the number of keys of every row.
  std::int32_t segment_length;
  /// First row of the strip, counted from the segment's start.
  std::int32_t first_row;
  /// Height of a tile. The segment's last tile ends with the segment.
  std::int32_t tile_rows;
  /// The strip's first entry in the table, and its number of tiles.
  std::int32_t first_tile;
  std::int32_t tiles;
  std::int32_t unused[2];
};

/// One head of one tile: a block's unit of work.
struct AttentionItem {
  std::int32_t segment_start;
  std::int32_t segment_length;
  /// First row of the tile, counted from the segment's start, and its number of rows.
  std::int32_t first_row;
  std::int32_t rows;
  std::int32_t head;
};

/// Item `number` of tiles · heads. Items are numbered strip by strip, and head by head within a strip: the tiles of a
/// head run together and share its keys and values in L2, and all heads of a long segment start before a short one.
VITGRAPH_HOST_DEVICE inline AttentionItem attention_item(const AttentionStrip* table, std::int32_t number,
                                                         std::int32_t heads) {
  const AttentionStrip strip = table[number / heads];
  const std::int32_t in_strip = number - strip.first_tile * heads;
  const std::int32_t head = in_strip / strip.tiles;
  const std::int32_t first_row = strip.first_row + (in_strip - head * strip.tiles) * strip.tile_rows;
  const std::int32_t rest = strip.segment_length - first_row;
  return {strip.segment_start, strip.segment_length, first_row, rest < strip.tile_rows ? rest : strip.tile_rows, head};
}

/// The parameters of a table.
struct AttentionTiling {
  std::int32_t heads;
  std::int32_t multiprocessors;
  /// The tallest and shortest tiles that the kernel supports: multiples of 64, at most 192.
  std::int32_t tallest;
  std::int32_t shortest;

  bool operator==(const AttentionTiling&) const = default;
};

/// Maximum number of tiles of `segments` segments with `rows` rows in total: every segment may end in a partial tile.
constexpr std::size_t attention_tile_capacity(std::size_t rows, std::size_t segments, std::size_t shortest) {
  const std::size_t nonempty = std::min(rows, segments);
  return nonempty + (rows - nonempty) / shortest;
}

/// Builds tables. Keeps its scratch memory, so that a run allocates nothing.
class AttentionTiler {
 public:
  /// `segments`: maximum number of segments per run.
  AttentionTiler(const AttentionTiling& tiling, std::size_t segments);

  /// Writes the table of the segments [cu_seqlens[i], cu_seqlens[i + 1]) and returns the number of tiles. `table` holds
  /// attention_tile_capacity(rows, segments, tiling.shortest).
  std::size_t write(std::span<const std::int32_t> cu_seqlens, std::span<AttentionStrip> table);

 private:
  /// Segments are split into tiles of `main` rows. If `tail` is not 0, tiles of `tail` rows cover the remainder, so
  /// that none is shorter, and replace 2 · `more_tails` tiles of `main` rows.
  struct Cut {
    std::int32_t main;
    std::int32_t tail;
    std::int32_t more_tails;
  };
  struct Load {
    std::int64_t cost;
    std::int64_t multiprocessors;
  };

  void cut(std::span<const std::int32_t> cu_seqlens, const Cut& cut);
  std::int64_t item_cost(const AttentionStrip& strip) const;
  /// When the last SM finishes, if each takes the next item of strips_ as soon as it is free.
  std::int64_t makespan();

  AttentionTiling tiling_;
  std::vector<std::int32_t> order_;
  std::vector<AttentionStrip> strips_;
  std::vector<Load> loads_;
};

}  // namespace vitgraph::kernels
