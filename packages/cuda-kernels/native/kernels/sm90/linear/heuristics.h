// The tiles of Hopper's linear layers, and which of them a launch takes. Pure: no CUDA, so that it is tested without nvcc.
#pragma once

#include <cstdint>

namespace vitgraph::kernels::sm90 {

/// The tile of a launch. Which one is fastest depends on how evenly its tiles fill the device. With a split, so many blocks
/// share the inner dimension of each. A cluster of 2x1 is two tiles of the same columns, which share the weights; one of 2x2
/// shares rows and weights. `shared` tells a tile that both consumers compute from the one of the same size that they
/// compute by turns: its epilogue takes half as long, but nothing hides it.
enum class LinearTile : std::int32_t {
  rows256_columns192,
  rows192_columns192,
  rows128_columns192,
  rows128_columns128,
  rows128_columns64,
  rows64_columns128,
  rows64_columns64,
  rows128_columns64_split3,
  rows64_columns128_split3,
  rows128_columns192_cluster2x1,
  rows128_columns192_cluster2x2,
  rows128_columns144_cluster2x1,
  rows128_columns144_cluster2x2,
  rows128_columns80_cluster2x2,
  rows64_columns160_cluster4x1,
  rows128_columns192_shared,
  rows128_columns192_shared_cluster1x2,
  rows128_columns128_shared,
};

/// By LinearTile; stable, since the algorithm cache on disk holds them.
inline constexpr const char* kLinearTileNames[] = {
    "256x192", "192x192", "128x192", "128x128", "128x64", "64x128", "64x64",
    "128x64/3", "64x128/3",
    "128x192 2x1", "128x192 2x2", "128x144 2x1", "128x144 2x2", "128x80 2x2", "64x160 4x1",
    "128x192 shared", "128x192 shared 1x2", "128x128 shared",
};

/// [rows, inner] times [columns, inner] transposed.
struct LinearSize {
  std::int32_t rows;
  std::int32_t columns;
  std::int32_t inner;
};

/// The tile with the least estimated time.
LinearTile choose_linear_tile(const LinearSize& size, std::int32_t multiprocessors);

}  // namespace vitgraph::kernels::sm90
