// Products of bfloat16 with f32 sums: the loops of blocked.cc over pairs. Activations are rounded to bfloat16 as they are
// copied into a strip, and so are weights of other dtypes as they are packed.
#include <algorithm>

#include "backend/cpu/gemm/gemm.h"

namespace vitgraph::cpu {
namespace {

/// As in blocked.cc: a word holds twice as much of the depth.
constexpr std::size_t kMostRows = 168;
constexpr std::size_t kMostColumns = 384;
constexpr std::size_t kMostTileRows = 16;
constexpr std::size_t kStripFloats = kMostTileRows * kDepthStride;
constexpr std::size_t kElements = 2 * kDepth;

void multiply(const Block& block, const Simd&, float* scratch, float* c, std::size_t c_stride) {
  const PairSimd& pairs = *supported_pairs();
  float* strip = scratch;
  float* packed = scratch + kStripFloats;
  for (std::size_t p = 0; p < block.depth; p += kElements) {
    const std::size_t depth = std::min(kElements, block.depth - p);
    const std::size_t words = (depth + 1) / 2;
    const auto* weight = static_cast<const std::byte*>(block.weight) + p * size_of(block.weight_dtype);
    pairs.pack_transposed(weight, block.weight_dtype, block.weight_stride, block.columns, depth, packed);
    for (std::size_t row = 0; row < block.rows; row += pairs.tile_rows) {
      const std::size_t rows = std::min(pairs.tile_rows, block.rows - row);
      for (std::size_t i = 0; i < rows; ++i) {
        pairs.round_row(block.x + (row + i) * block.x_stride + p, depth, strip + i * kDepthStride);
      }
      pairs.multiply(strip, rows, packed, block.columns, words, c + row * c_stride, c_stride, p > 0);
    }
  }
}

}  // namespace

constinit const Gemm kBf16Gemm = {"bf16", kMostRows, kMostColumns, kStripFloats + kDepth* kMostColumns, true, multiply};

}  // namespace vitgraph::cpu
