// The control block of a program: what its kernels read of a run besides their operands. The counts of the dims, and
// then a table of attention tiles for each distinct list of segments. It is written here, on the beginning thread, and
// read on the card, where it arrives as the run's inputs do.
//
// Attention ops share a table if they name the same list and cut it alike. Tables have fixed places, sized for the
// capacities, so that a captured graph can name them; only the tiles that a run has are sent. Knows no CUDA, so that its
// tests need no GPU.
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
  /// What attention ops with one table agree in.
  struct TableKey {
    /// The index of the buffer that has the bounds of the segments (`cu_seqlens`).
    std::int32_t list;
    kernels::AttentionTiling tiling;
    /// The most rows and segments that a run has.
    std::int32_t rows;
    std::int32_t segments;

    bool operator==(const TableKey&) const = default;
  };

  struct Table {
    TableKey key;
    /// Where the count of tiles stands in the block, an i32, and the tiles behind it.
    std::size_t count_at;
    std::size_t tiles_at;
    /// The most tiles that a run has.
    std::size_t capacity;
  };

  /// A part of the block that is to be sent: its place, and its bytes until the next call.
  struct Piece {
    std::size_t at;
    std::span<const std::byte> bytes;
  };

  explicit RunControl(std::size_t dims);

  /// The table of `key`, which is made unless there is one. Valid until the next call.
  const Table& table(const TableKey& key);

  std::size_t table_count() const { return tables_.size(); }
  /// Of the whole block, with the tables so far.
  std::size_t size_bytes() const { return block_.size(); }

  /// Writes a run's counts and the tiles of its segments: `bounds(list)` are the contents of a list, which start at 0, never
  /// fall, and end within the rows of each of its tables.
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
  /// One a table.
  std::vector<kernels::AttentionTiler> tilers_;
  std::vector<Piece> pieces_;
};

}  // namespace vitgraph::cuda
