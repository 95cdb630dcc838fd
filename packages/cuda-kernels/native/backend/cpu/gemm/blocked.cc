// Our own product. Weights are packed a block at a time, [kDepth][columns]; activations a strip at a time, as few rows
// as a tile has, so that a strip stays in the first-level cache while it meets every panel of the block.
#include <algorithm>
#include <cstring>

#include "backend/cpu/gemm/gemm.h"

namespace vitgraph::cpu {
namespace {

/// A block's packed weights (384 · 256 · 4 B) and its result (168 · 384 · 4 B) stay in a second-level cache of 1 MiB,
/// and every weight that is packed is used 168 times. Multiples of every tile_columns and tile_rows.
constexpr std::size_t kMostRows = 168;
constexpr std::size_t kMostColumns = 384;
constexpr std::size_t kMostTileRows = 16;
constexpr std::size_t kStripFloats = kMostTileRows * kDepthStride;

/// Elements, not bytes, into memory of some dtype.
const void* at(const void* data, DType dtype, std::size_t elements) {
  return static_cast<const std::byte*>(data) + elements * size_of(dtype);
}

void multiply(const Block& block, const Simd& simd, float* scratch, float* c, std::size_t c_stride) {
  float* strip = scratch;
  float* packed = scratch + kStripFloats;
  for (std::size_t p = 0; p < block.depth; p += kDepth) {
    const std::size_t depth = std::min(kDepth, block.depth - p);
    simd.pack_transposed(at(block.weight, block.weight_dtype, p), block.weight_dtype, block.weight_stride,
                         block.columns, depth, packed);
    for (std::size_t row = 0; row < block.rows; row += simd.tile_rows) {
      const std::size_t rows = std::min(simd.tile_rows, block.rows - row);
      for (std::size_t i = 0; i < rows; ++i) {
        std::memcpy(strip + i * kDepthStride, block.x + (row + i) * block.x_stride + p, depth * sizeof(float));
      }
      simd.multiply(strip, rows, packed, block.columns, depth, c + row * c_stride, c_stride, p > 0);
    }
  }
}

}  // namespace

constinit const Gemm kBlockedGemm = {"blocked", kMostRows, kMostColumns, kStripFloats + kDepth* kMostColumns,
                                     false,     multiply};

}  // namespace vitgraph::cpu
