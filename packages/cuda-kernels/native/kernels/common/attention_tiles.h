// The tile table of the attention kernels: which rows of which segment and head a block computes. Made on the host with a
// run's metadata; plain C++, no CUDA, so src/attention-tiles.test.ts tests it without a GPU.
//
// With the table the grid needs no longest segment and no row count: a graph captured for a capacity runs exactly the
// tiles that its content has, at the heights that suit the content. Heights and order change no result: rows are
// independent of each other, and the keys of a row are always taken in the same steps.
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

/// Tiles of one height that follow each other in one segment. The table has an entry per tile, and all tiles of a strip
/// have the same one. As it lies in device memory, 32 bytes.
struct alignas(16) AttentionStrip {
  /// First row of the segment in q, k, v and y.
  std::int32_t segment_start;
  /// Rows of the segment: the keys of every row.
  std::int32_t segment_length;
  /// First row of the strip, counted from the segment's start.
  std::int32_t first_row;
  /// Height of a tile. The segment's last tile ends with the segment.
  std::int32_t tile_rows;
  /// Where the strip begins in the table, and its tiles.
  std::int32_t first_tile;
  std::int32_t tiles;
  std::int32_t unused[2];
};

/// One head of one tile: the unit of work of a block.
struct AttentionItem {
  std::int32_t segment_start;
  std::int32_t segment_length;
  /// First row of the tile, counted from the segment's start, and its rows.
  std::int32_t first_row;
  std::int32_t rows;
  std::int32_t head;
};

/// Item `number` of tiles · heads. Items are numbered strip by strip and head by head within a strip: the tiles of a head
/// run together and share its keys and values in L2, and all heads of a long segment start before a short one.
VITGRAPH_HOST_DEVICE inline AttentionItem attention_item(const AttentionStrip* table, std::int32_t number,
                                                         std::int32_t heads) {
  const AttentionStrip strip = table[number / heads];
  const std::int32_t in_strip = number - strip.first_tile * heads;
  const std::int32_t head = in_strip / strip.tiles;
  const std::int32_t first_row = strip.first_row + (in_strip - head * strip.tiles) * strip.tile_rows;
  const std::int32_t rest = strip.segment_length - first_row;
  return {strip.segment_start, strip.segment_length, first_row, rest < strip.tile_rows ? rest : strip.tile_rows, head};
}

/// What a table is made for.
struct AttentionTiling {
  std::int32_t heads;
  std::int32_t multiprocessors;
  /// The tallest and the shortest tiles that the kernel takes: multiples of 64, at most 192.
  std::int32_t tallest;
  std::int32_t shortest;

  bool operator==(const AttentionTiling&) const = default;
};

/// The most tiles that `segments` segments of `rows` rows in all can make: every segment may end in a part of a tile.
constexpr std::size_t attention_tile_capacity(std::size_t rows, std::size_t segments, std::size_t shortest) {
  const std::size_t nonempty = std::min(rows, segments);
  return nonempty + (rows - nonempty) / shortest;
}

/// Makes tables. Keeps its scratch, so that a run allocates nothing.
class AttentionTiler {
 public:
  /// `segments`: the most that a run has.
  AttentionTiler(const AttentionTiling& tiling, std::size_t segments);

  /// Writes the table of the segments [cu_seqlens[i], cu_seqlens[i + 1]) and returns how many tiles it has. `table` holds
  /// attention_tile_capacity(rows, segments, tiling.shortest).
  std::size_t write(std::span<const std::int32_t> cu_seqlens, std::span<AttentionStrip> table);

 private:
  /// Segments are cut into tiles of `main` rows. Where `tail` is not 0, tiles of `tail` rows take the remainder, so that
  /// none is shorter, and the place of 2 · `more_tails` tiles of `main` rows.
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
  /// When the last multiprocessor ends if each takes the next item of strips_ as soon as it is free.
  std::int64_t makespan();

  AttentionTiling tiling_;
  std::vector<std::int32_t> order_;
  std::vector<AttentionStrip> strips_;
  std::vector<Load> loads_;
};

}  // namespace vitgraph::kernels
