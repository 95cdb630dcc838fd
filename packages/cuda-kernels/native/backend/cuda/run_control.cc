#include "backend/cuda/run_control.h"

#include <algorithm>
#include <cstring>

namespace vitgraph::cuda {
namespace {

using kernels::AttentionStrip;

/// Alignment of counts and tables: tables are read 16 bytes at a time, and no two share an L2 line.
constexpr std::size_t kAlignment = 256;
/// Offset of the tiles from their count.
constexpr std::size_t kTilesBehindCount = sizeof(AttentionStrip);

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

// A program without dims still has a block.
RunControl::RunControl(std::size_t dims)
    : counts_bytes_(aligned(std::max<std::size_t>(dims, 1) * sizeof(std::int32_t))), block_(counts_bytes_) {}

const RunControl::Table& RunControl::table(const TableKey& key) {
  const auto known = std::find_if(tables_.begin(), tables_.end(), [&](const Table& table) { return table.key == key; });
  if (known != tables_.end()) return *known;
  const auto rows = static_cast<std::size_t>(std::max(key.rows, 0));
  const auto segments = static_cast<std::size_t>(std::max(key.segments, 0));
  // A table for no rows still has room for one tile: a launch needs a grid.
  const std::size_t capacity = std::max<std::size_t>(
      kernels::attention_tile_capacity(rows, segments, static_cast<std::size_t>(key.tiling.shortest)), 1);
  const std::size_t count_at = block_.size();
  const std::size_t tiles_at = count_at + kTilesBehindCount;
  block_.resize(aligned(tiles_at + capacity * sizeof(AttentionStrip)));
  tilers_.emplace_back(key.tiling, segments);
  return tables_.emplace_back(Table{key, count_at, tiles_at, capacity});
}

std::span<const RunControl::Piece> RunControl::write(
    std::span<const std::uint32_t> counts, const std::function<std::vector<std::int32_t>(std::int32_t list)>& bounds) {
  write_counts(counts);
  for (std::size_t i = 0; i < tables_.size(); ++i) write_tiles(i, bounds(tables_[i].key.list));
  return pieces_;
}

std::span<const RunControl::Piece> RunControl::write_without_tiles(std::span<const std::uint32_t> counts) {
  write_counts(counts);
  for (std::size_t i = 0; i < tables_.size(); ++i) write_tiles(i, {});
  return pieces_;
}

void RunControl::write_counts(std::span<const std::uint32_t> counts) {
  std::ranges::copy(std::as_bytes(counts), block_.begin());
  // Extends to the first table, so that the two are one copy.
  pieces_.assign(1, {0, std::span<const std::byte>(block_).first(counts_bytes_)});
}

void RunControl::write_tiles(std::size_t index, std::span<const std::int32_t> bounds) {
  const Table& table = tables_[index];
  auto* tiles = reinterpret_cast<AttentionStrip*>(block_.data() + table.tiles_at);
  const std::size_t count = tilers_[index].write(bounds, {tiles, table.capacity});
  const auto word = static_cast<std::int32_t>(count);
  std::memcpy(block_.data() + table.count_at, &word, sizeof word);
  const std::size_t end = table.tiles_at + count * sizeof(AttentionStrip);
  pieces_.push_back({table.count_at, std::span<const std::byte>(block_).subspan(table.count_at, end - table.count_at)});
}

}  // namespace vitgraph::cuda
