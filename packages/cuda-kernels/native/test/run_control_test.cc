// The control block of a run: which attention ops share a table of tiles, and what is sent.
#include "backend/cuda/run_control.h"

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "test/expect.h"

namespace vitgraph {
namespace {

using cuda::RunControl;
using kernels::AttentionStrip;
using Lists = std::map<std::int32_t, std::vector<std::int32_t>>;

constexpr kernels::AttentionTiling kTwoHeads{.heads = 2, .multiprocessors = 4, .tallest = 192, .shortest = 64};
constexpr kernels::AttentionTiling kOneHead{.heads = 1, .multiprocessors = 4, .tallest = 128, .shortest = 64};
constexpr std::int32_t kFull = 7;
constexpr std::int32_t kWindows = 9;
constexpr RunControl::TableKey kFullKey{kFull, kTwoHeads, 1000, 3};
constexpr RunControl::TableKey kWindowsKey{kWindows, kTwoHeads, 1000, 40};

/// A card's memory: the pieces of every run go into it, and what was there before stays.
class Card {
 public:
  explicit Card(std::size_t bytes) : bytes_(bytes, std::byte{0xff}) {}

  void take(std::span<const RunControl::Piece> pieces) {
    for (const auto& piece : pieces) std::memcpy(bytes_.data() + piece.at, piece.bytes.data(), piece.bytes.size());
  }

  std::int32_t word(std::size_t at) const {
    std::int32_t word;
    std::memcpy(&word, bytes_.data() + at, sizeof word);
    return word;
  }

  /// "start+first_row/length" of every tile of a table.
  std::string tiles(const RunControl::Table& table) const {
    std::string text;
    for (std::int32_t i = 0; i < word(table.count_at); ++i) {
      AttentionStrip strip;
      std::memcpy(&strip, bytes_.data() + table.tiles_at + static_cast<std::size_t>(i) * sizeof strip, sizeof strip);
      const std::int32_t first = strip.first_row + (i - strip.first_tile) * strip.tile_rows;
      text += std::to_string(strip.segment_start) + "+" + std::to_string(first) + "/" +
              std::to_string(strip.segment_length) + " ";
    }
    return text;
  }

 private:
  std::vector<std::byte> bytes_;
};

std::string counts(const Card& card) {
  return std::to_string(card.word(0)) + " " + std::to_string(card.word(4)) + " " + std::to_string(card.word(8));
}

void tables_are_shared() {
  RunControl control(3);
  const RunControl::Table full = control.table(kFullKey);
  const RunControl::Table again = control.table(kFullKey);
  expect("ops over one list share a table", std::to_string(again.count_at), std::to_string(full.count_at));

  RunControl::TableKey other_rows = kFullKey;
  other_rows.rows = 1001;
  std::size_t end = full.tiles_at + full.capacity * sizeof(AttentionStrip);
  for (const auto& key : {kWindowsKey, RunControl::TableKey{kFull, kOneHead, 1000, 3}, other_rows}) {
    const RunControl::Table table = control.table(key);
    expect("other tables lie behind those before", table.count_at >= end ? "behind" : "within", "behind");
    expect("tiles are read by 16 bytes", std::to_string(table.tiles_at % 16), "0");
    end = table.tiles_at + table.capacity * sizeof(AttentionStrip);
  }
  expect("one table for each list, tiling and capacity", std::to_string(control.table_count()),
         "4");
  expect("the block holds them all", control.size_bytes() >= end ? "yes" : "no", "yes");
}

void every_run_has_its_tiles() {
  RunControl control(3);
  const RunControl::Table full = control.table(kFullKey);
  const RunControl::Table windows = control.table(kWindowsKey);
  Card card(control.size_bytes());
  const auto run = [&](std::vector<std::uint32_t> counts_of_run, const Lists& lists) {
    const auto pieces = control.write(counts_of_run, [&](std::int32_t list) { return lists.at(list); });
    card.take(pieces);
    expect("counts and the first table are one copy", std::to_string(pieces[0].at + pieces[0].bytes.size()),
           std::to_string(pieces[1].at));
  };
  run({130, 1, 4}, {{kFull, {0, 130}}, {kWindows, {0, 64, 64, 128, 130}}});
  expect("counts", counts(card), "130 1 4");
  expect("tiles of the segments", card.tiles(full), "0+0/130 0+128/130 ");
  expect("tiles of the windows, the empty one without", card.tiles(windows), "0+0/64 64+0/64 128+0/2 ");
  run({5, 2, 1}, {{kFull, {0, 3, 5}}, {kWindows, {0, 5}}});
  expect("a shorter run after a longer one", card.tiles(full) + "and " + card.tiles(windows), "0+0/3 3+0/2 and 0+0/5 ");
  run({0, 0, 0}, {{kFull, {0}}, {kWindows, {}}});
  expect("no segments", card.tiles(full) + "and " + card.tiles(windows), "and ");

  std::vector<std::int32_t> rows(41, 40);
  for (std::int32_t i = 0; i < 41; ++i) rows[static_cast<std::size_t>(i)] = i;
  run({40, 3, 40}, {{kFull, {0, 0, 40, 40}}, {kWindows, rows}});
  expect("as many windows as there is room for", std::to_string(card.word(windows.count_at)), "40");

  const std::vector<std::uint32_t> full_counts{1000, 3, 40};
  card.take(control.write_without_tiles(full_counts));
  expect("a run without attention", counts(card) + " " + card.tiles(full) + card.tiles(windows), "1000 3 40 ");
}

void room_for_the_capacities() {
  RunControl control(0);
  const RunControl::Table table = control.table({kWindows, kOneHead, 0, -1});
  expect("a launch over no rows has a grid", std::to_string(table.capacity), "1");
  const auto pieces = control.write({}, [](std::int32_t) { return std::vector<std::int32_t>(); });
  Card card(control.size_bytes());
  card.take(pieces);
  expect("and no tiles", std::to_string(card.word(table.count_at)), "0");
}

}  // namespace

void test_run_control() {
  tables_are_shared();
  every_run_has_its_tiles();
  room_for_the_capacities();
}

}  // namespace vitgraph
