// The control block of a program: the per-run data that its kernels read besides their operands. It holds the counts of
// the dims, then a table of attention tiles for each distinct list of segments. It is written here, on the beginning
// thread, and uploaded with the run's inputs.
//
// Attention ops share a table if they have the same list and the same tiling. Tables have fixed offsets, sized for the
// capacities, so that a captured graph can refer to them; only the tiles of the run are uploaded. Free of CUDA, so that
// its tests need no GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/common/attention_tiles.h"

namespace vitgraph::cuda {

class RunControl {
 public:
  /// Attention ops with equal keys share a table.
  struct TableKey {
    /// Index of the buffer with the segment bounds (`cu_seqlens`).
    std::int32_t list;
    kernels::AttentionTiling tiling;
    /// Maximum rows and segments of a run.
    std::int32_t rows;
    std::int32_t segments;

    bool operator==(const TableKey&) const = default;
  };

  struct Table {
    TableKey key;
    /// Offset of the tile count (an i32) in the block; the tiles follow it.
    std::size_t count_at;
    std::size_t tiles_at;
    /// Maximum tiles of a run.
    std::size_t capacity;
  };

  /// A range of the block to upload: its offset, and its bytes, valid until the next call.
  struct Piece {
    std::size_t at;
    std::span<const std::byte> bytes;
  };

  explicit RunControl(std::size_t dims);

  /// The table of `key`, created on first use. Valid until the next call.
  const Table& table(const TableKey& key);

  std::size_t table_count() const { return tables_.size(); }
  /// Size of the whole block, with the tables so far.
  std::size_t size_bytes() const { return block_.size(); }

  /// Writes a run's counts and the tiles of its segments. `bounds(list)` returns the contents of a list: they start at
  /// 0, never decrease, and end within the rows of each of its tables.
  std::span<const Piece> write(std::span<const std::uint32_t> counts,
                               const std::function<std::vector<std::int32_t>(std::int32_t list)>& bounds);

  /// Writes the counts of a run without attention.
  std::span<const Piece> write_without_tiles(std::span<const std::uint32_t> counts);

 private:
  void write_counts(std::span<const std::uint32_t> counts);
  void write_tiles(std::size_t table, std::span<const std::int32_t> bounds);

  std::size_t counts_bytes_;
  std::vector<std::byte> block_;
  std::vector<Table> tables_;
  /// One per table.
  std::vector<kernels::AttentionTiler> tilers_;
  std::vector<Piece> pieces_;
};

}  // namespace vitgraph::cuda
