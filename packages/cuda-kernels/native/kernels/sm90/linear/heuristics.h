// The tiles of Hopper's linear layers, and the choice of one per launch. No CUDA, so that tests need no nvcc.
#pragma once

#include <cstdint>

namespace vitgraph::kernels::sm90 {

/// The tile of a launch. The fastest depends on how evenly its tiles fill the SMs (wave quantisation). `split` is the
/// number of blocks that share a tile's inner dimension. A cluster of 2x1 is two tiles of the same columns, which share
/// the weights; one of 2x2 shares rows and weights. `shared`: all consumers compute one tile together instead of
/// alternating over tiles. Its epilogue takes half as long but is not overlapped. Names omit the kind if a size has
/// only one.
enum class LinearTile : std::int32_t {
  rows256_columns192,
  rows192_columns192_cluster1x2,
  rows192_columns144_cluster1x2,
  rows192_columns128,
  rows128_columns240,
  rows128_columns192_cluster2x1,
  rows128_columns192_shared,
  rows128_columns192_shared_cluster1x2,
  rows128_columns144_cluster2x1,
  rows128_columns144_cluster2x2,
  rows128_columns144_shared,
  rows128_columns128_cluster1x2,
  rows128_columns128_shared,
  rows128_columns128_shared_cluster1x2,
  rows128_columns64_cluster1x2,
  rows128_columns64_split3,
  rows128_columns192_split2_cluster2x1,
  rows64_columns160_cluster4x1,
  rows64_columns128,
  rows64_columns128_cluster4x1,
  rows64_columns64,
  rows64_columns64_cluster1x2,
};

/// By LinearTile: the names in the algorithm cache on disk.
inline constexpr const char* kLinearTileNames[] = {
    "256x192",        "192x192 1x2",
    "192x144 1x2",    "192x128",
    "128x240",        "128x192 2x1",
    "128x192 shared", "128x192 shared 1x2",
    "128x144 2x1",    "128x144 2x2",
    "128x144 shared", "128x128 1x2",
    "128x128 shared", "128x128 shared 1x2",
    "128x64 1x2",     "128x64/3",
    "128x192/2 2x1",  "64x160 4x1",
    "64x128",         "64x128 4x1",
    "64x64",          "64x64 1x2",
};

/// [rows, inner] · [columns, inner]ᵀ.
struct LinearSize {
  std::int32_t rows;
  std::int32_t columns;
  std::int32_t inner;
};

/// The tile with the lowest estimated time.
LinearTile choose_linear_tile(const LinearSize& size, std::int32_t multiprocessors);

}  // namespace vitgraph::kernels::sm90
