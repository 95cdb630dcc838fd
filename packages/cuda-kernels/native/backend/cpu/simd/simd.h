// The arithmetic of the CPU backend, compiled once for each instruction set and picked by the processor at run time.
//
// One header (body.h) holds the code, in the compiler's vector extensions; a file an instruction set (baseline.cc,
// avx2.cc, avx512.cc) compiles it with its own flags and shapes, and fills in one of these tables. Everything in it is
// single-threaded and allocates nothing.
//
// A product is made of *tiles* of tile_rows × tile_columns that stay in registers. The left side (`a`) is read in rows
// kDepthStride floats apart; the right side is packed into *panels* of tile_columns, [depth][width], the last panel
// narrowed to whole vectors. Columns up to padded_columns() are written, so results go to scratch, never to a buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "common/dtype.h"
#include "program/signatures.h"

namespace vitgraph::cpu {

/// The longest run of products between two visits to the result: a panel of it (256 · 32 · 4 B) and a strip of rows fit
/// the first-level cache's neighbour with room to spare.
inline constexpr std::size_t kDepth = 256;
/// Rows of `a` are a cache line further apart than kDepth, so that a strip's rows don't fall on the same few cache
/// sets.
inline constexpr std::size_t kDepthStride = kDepth + 16;

struct Simd {
  const char* name;
  /// Floats in a vector.
  std::size_t lanes;
  std::size_t tile_rows;
  std::size_t tile_columns;

  /// `columns` rounded up to whole vectors.
  std::size_t padded_columns(std::size_t columns) const { return (columns + lanes - 1) / lanes * lanes; }

  /// Packs b[column][depth], row by row, as panels: what x · bᵀ needs. Padding columns become 0.
  void (*pack_transposed)(const void* b, DType dtype, std::size_t row_stride, std::size_t columns, std::size_t depth,
                          float* packed);
  /// Packs b[depth][column] as panels: what x · b needs.
  void (*pack)(const float* b, std::size_t row_stride, std::size_t columns, std::size_t depth, float* packed);
  /// c[rows × columns] = (accumulate ? c : 0) + a · packed. depth ≤ kDepth.
  void (*multiply)(const float* a, std::size_t rows, const float* packed, std::size_t columns, std::size_t depth,
                   float* c, std::size_t c_stride, bool accumulate);

  /// to[i] = from[i] as f32.
  void (*widen)(const void* from, DType dtype, std::size_t count, float* to);
  /// y[i] = activation(x[i] + bias[i]) + residual[i]; bias and residual may be null. y may be any of the inputs.
  void (*finish_row)(const float* x, const float* bias, Activation activation, const float* residual, float* y,
                     std::size_t count);
  /// y = (x - mean) / sqrt(variance + epsilon) · weight + bias. y may be x.
  void (*layernorm_row)(const float* x, const float* weight, const float* bias, float epsilon, float* y,
                        std::size_t count);
  /// y = x / sqrt(mean of x² + epsilon) · weight. y may be x.
  void (*rmsnorm_row)(const float* x, const float* weight, float epsilon, float* y, std::size_t count);
  /// One step of an online softmax over base-2 logits: x[i] becomes 2^(x[i] - largest), where `largest` is first raised
  /// to the row's maximum. Returns the sum of the new x.
  float (*softmax_step)(float* x, std::size_t count, float& largest);
  /// x[i] *= factor.
  void (*scale_row)(float* x, float factor, std::size_t count);
};

/// Products of bfloat16, two in a step of a lane, with f32 sums. A word is two neighbours of the depth, the first in its
/// lower half; strips and panels are as Simd has them, of words instead of floats.
struct PairSimd {
  const char* name;
  std::size_t tile_rows;
  std::size_t tile_columns;

  /// Packs b[column][depth] as panels of words. An odd depth is filled up with a zero.
  void (*pack_transposed)(const void* b, DType dtype, std::size_t row_stride, std::size_t columns, std::size_t depth,
                          float* packed);
  /// Packs b[depth][column] as panels of words.
  void (*pack)(const float* b, std::size_t row_stride, std::size_t columns, std::size_t depth, float* packed);
  /// words[i] = x[2i], x[2i + 1], rounded to nearest even. `words` may be x.
  void (*round_row)(const float* x, std::size_t depth, float* words);
  /// c[rows × columns] = (accumulate ? c : 0) + a · packed. words ≤ kDepth.
  void (*multiply)(const float* a, std::size_t rows, const float* packed, std::size_t columns, std::size_t words,
                   float* c, std::size_t c_stride, bool accumulate);
};

/// The one that this processor supports, or null.
const PairSimd* supported_pairs();

/// Those that were compiled in, best first, whether this processor has them or not.
std::span<const Simd* const> compiled_simd();
/// Whether this processor has what `simd` was compiled for.
bool is_supported(const Simd& simd);
/// The best that this processor supports; or the named one. @throws Error VG_ARGUMENT_INVALID
const Simd& select_simd(std::string_view name);

extern const Simd kSimdBaseline;
#ifdef VITGRAPH_X86
extern const Simd kSimdAvx2;
extern const Simd kSimdAvx512;
extern const PairSimd kPairsAvx512;
#endif

}  // namespace vitgraph::cpu
