// The product by OpenBLAS, a call a block. Weights in 16 bits are widened first, kWidenedDepth of them at a time.
#include <cblas.h>

#include <algorithm>
#include <string>

#include "backend/cpu/gemm/gemm.h"

namespace vitgraph::cpu {
namespace {

/// OpenBLAS packs both sides of every call anew, so its blocks are larger than ours.
constexpr std::size_t kMostRows = 672;
constexpr std::size_t kMostColumns = 768;
constexpr std::size_t kWidenedDepth = 512;

void sgemm(const Block& block, std::size_t p, std::size_t depth, const float* weight, std::size_t weight_stride, float* c,
           std::size_t c_stride) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(block.rows), static_cast<int>(block.columns),
              static_cast<int>(depth), 1.0f, block.x + p, static_cast<int>(block.x_stride), weight, static_cast<int>(weight_stride),
              p > 0 ? 1.0f : 0.0f, c, static_cast<int>(c_stride));
}

void multiply(const Block& block, const Simd& simd, float* scratch, float* c, std::size_t c_stride) {
  if (block.weight_dtype == DType::f32) {
    return sgemm(block, 0, block.depth, static_cast<const float*>(block.weight), block.weight_stride, c, c_stride);
  }
  for (std::size_t p = 0; p < block.depth; p += kWidenedDepth) {
    const std::size_t depth = std::min(kWidenedDepth, block.depth - p);
    for (std::size_t column = 0; column < block.columns; ++column) {
      const std::byte* from = static_cast<const std::byte*>(block.weight) + (column * block.weight_stride + p) * size_of(block.weight_dtype);
      simd.widen(from, block.weight_dtype, depth, scratch + column * kWidenedDepth);
    }
    sgemm(block, p, depth, scratch, kWidenedDepth, c, c_stride);
  }
}

}  // namespace

constinit const Gemm kOpenBlasGemm = {"openblas", kMostRows, kMostColumns, kWidenedDepth * kMostColumns, multiply};

bool is_openblas_usable() {
  constexpr int sequential = 0;
  if (openblas_get_parallel() == sequential) return false;
  // Process-wide, and here for good: our pool splits the work, and threads of OpenBLAS's own would only get in its way.
  openblas_set_num_threads(1);
  return true;
}

std::string openblas_version() {
  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH …": the two words that people know it by.
  const std::string config = openblas_get_config();
  return config.substr(0, config.find(' ', config.find(' ') + 1));
}

}  // namespace vitgraph::cpu
