// Prints the attention's tile tables, for src/attention-tiles.test.ts and for whoever wonders how a batch is cut. Needs no
// GPU: c++ -std=c++20 -I../native attention_tiles.cc ../native/kernels/common/attention_tiles.cc
//
// One case a line of the input: tallest shortest heads multiprocessors, then the segments' lengths.
// One line of the output for each: the table's capacity, then a strip a group: segment_start segment_length first_row
// tile_rows tiles; and after a bar an item a group: segment_start segment_length first_row rows head. Groups end with ";".
#include "kernels/common/attention_tiles.h"

#include <iostream>
#include <sstream>
#include <string>

int main() {
  using namespace vitgraph::kernels;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    AttentionTiling tiling{};
    words >> tiling.tallest >> tiling.shortest >> tiling.heads >> tiling.multiprocessors;
    std::vector<std::int32_t> cu_seqlens{0};
    for (std::int32_t length; words >> length;) cu_seqlens.push_back(cu_seqlens.back() + length);
    const std::size_t segments = cu_seqlens.size() - 1;
    const std::size_t capacity = attention_tile_capacity(static_cast<std::size_t>(cu_seqlens.back()), segments,
                                                         static_cast<std::size_t>(tiling.shortest));
    // Twice, as a program does it: the second table must not depend on the first.
    AttentionTiler tiler(tiling, segments);
    std::vector<AttentionStrip> table(capacity);
    tiler.write(cu_seqlens, table);
    const auto tiles = static_cast<std::int32_t>(tiler.write(cu_seqlens, table));
    std::cout << capacity << ' ';
    for (std::int32_t tile = 0; tile < tiles; tile += table[static_cast<std::size_t>(tile)].tiles) {
      const AttentionStrip& strip = table[static_cast<std::size_t>(tile)];
      std::cout << strip.segment_start << ' ' << strip.segment_length << ' ' << strip.first_row << ' '
                << strip.tile_rows << ' ' << strip.tiles << ';';
    }
    std::cout << '|';
    for (std::int32_t number = 0; number < tiles * tiling.heads; ++number) {
      const AttentionItem item = attention_item(table.data(), number, tiling.heads);
      std::cout << item.segment_start << ' ' << item.segment_length << ' ' << item.first_row << ' ' << item.rows << ' '
                << item.head << ';';
    }
    std::cout << '\n';
  }
}
