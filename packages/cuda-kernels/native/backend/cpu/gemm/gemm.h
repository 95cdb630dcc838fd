// Products of a block of activation rows with a block of weight rows, in one thread. linear.cc splits a product into
// blocks and uses their results.
//
// Weights stay in memory as the checkpoint has them: a block's part is widened to f32 while it is packed, again in
// every run, which costs a few percent and saves twice the weights' memory.
#pragma once

#include <cstddef>
#include <string>

#include "backend/cpu/simd/simd.h"
#include "common/dtype.h"

namespace vitgraph::cpu {

struct Block {
  /// f32 [rows, depth]
  const float* x;
  std::size_t x_stride;
  /// [columns, depth]
  const void* weight;
  DType weight_dtype;
  std::size_t weight_stride;

  std::size_t rows;
  std::size_t columns;
  std::size_t depth;
};

struct Gemm {
  const char* name;
  /// The largest block that suits the caches.
  std::size_t most_rows;
  std::size_t most_columns;
  /// Floats of scratch for `multiply`.
  std::size_t scratch_floats;
  /// Whether it and attention multiply pairs of bfloat16 instead of f32.
  bool pairs;
  /// c = x · weightᵀ, f32 [rows, padded columns], rows c_stride apart.
  void (*multiply)(const Block& block, const Simd& simd, float* scratch, float* c, std::size_t c_stride);
};

/// Our own packed loops.
extern const Gemm kBlockedGemm;
/// The same in bfloat16, for processors that `supported_pairs` knows. Its tiles are those of the AVX-512 Simd.
extern const Gemm kBf16Gemm;
#ifdef VITGRAPH_OPENBLAS
/// OpenBLAS, which is told to use one thread.
extern const Gemm kOpenBlasGemm;
/// False for a serial build of OpenBLAS, which may not be called from several threads at once.
bool is_openblas_usable();
/// "OpenBLAS 0.3.21".
std::string openblas_version();
#endif

}  // namespace vitgraph::cpu
