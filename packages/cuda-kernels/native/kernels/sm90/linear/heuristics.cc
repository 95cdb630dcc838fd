#include "kernels/sm90/linear/heuristics.h"

#include <algorithm>
#include <iterator>

namespace vitgraph::kernels::sm90 {
namespace {

/// Cost model of a launch per tile, fitted to measurements on one H200 (dev/linear.cu, time).
struct TileCost {
  LinearTile tile;
  int rows;
  int columns;
  /// Serial part: launch, first loads, last epilogue.
  double fixed_us;
  /// Per wave: the epilogue, unless it is overlapped, and a step of 64 of the inner dimension.
  double end_us;
  double step_us;
};

constexpr TileCost kTileCosts[] = {{LinearTile::rows256_columns192, 256, 192, 9.0, 3.0, 0.84},
                                   {LinearTile::rows192_columns192_cluster1x2, 192, 192, 7.0, 2.5, 0.64},
                                   {LinearTile::rows128_columns192_cluster2x1, 128, 192, 7.5, 0.0, 0.42},
                                   {LinearTile::rows128_columns128_cluster1x2, 128, 128, 5.7, 0.0, 0.33},
                                   {LinearTile::rows64_columns128, 64, 128, 4.4, 0.0, 0.20},
                                   {LinearTile::rows64_columns64, 64, 64, 3.0, 0.0, 0.14}};

constexpr int divide_up(int value, int by) { return (value + by - 1) / by; }

double estimate_us(const TileCost& cost, const LinearSize& size, std::int32_t multiprocessors) {
  const int tiles = divide_up(size.rows, cost.rows) * divide_up(size.columns, cost.columns);
  return cost.fixed_us + divide_up(tiles, multiprocessors) * (cost.end_us + divide_up(size.inner, 64) * cost.step_us);
}

}  // namespace

LinearTile choose_linear_tile(const LinearSize& size, std::int32_t multiprocessors) {
  return std::min_element(std::begin(kTileCosts), std::end(kTileCosts),
                          [&](const TileCost& a, const TileCost& b) {
                            return estimate_us(a, size, multiprocessors) < estimate_us(b, size, multiprocessors);
                          })
      ->tile;
}

}  // namespace vitgraph::kernels::sm90
