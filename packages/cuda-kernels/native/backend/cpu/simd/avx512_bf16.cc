// x86-64 with AVX-512 BF16: products of bfloat16 pairs. Compiled with the flags of avx512.cc and -mavx512bf16.
#include <immintrin.h>

#include <cstddef>

namespace vitgraph::cpu {
namespace {
constexpr std::size_t kLanes = 16;
// As avx512.cc: 28 sums, 2 vectors of the panel, the broadcast.
constexpr std::size_t kTileRows = 14;
constexpr std::size_t kTileVectors = 2;
}  // namespace
}  // namespace vitgraph::cpu

#include "backend/cpu/simd/body.h"

namespace vitgraph::cpu {
namespace {

/// 32 floats in their order, rounded: `first`, then `second`.
VITGRAPH_INLINE Vec rounded(Vec first, Vec second) { return (Vec)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first); }

struct PairProduct {
  VITGRAPH_INLINE Vec add(Vec sum, Vec left, Vec right) {
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
  }
};

template <typename T>
struct PairWords {
  using Element = T;
  static constexpr std::size_t kElements = 2;
  VITGRAPH_INLINE Vec vector(const T* from) { return rounded(Widen<T>::vector(from), Widen<T>::vector(from + kLanes)); }
};

template <>
struct PairWords<BFloat16> {
  using Element = BFloat16;
  static constexpr std::size_t kElements = 2;
  VITGRAPH_INLINE Vec vector(const BFloat16* from) {
    Vec v;
    std::memcpy(&v, from, sizeof v);
    return v;
  }
};

/// Words of two rows: lane i is a[i] in the lower half and b[i] in the upper one.
VITGRAPH_INLINE Vec paired(Vec a, Vec b) {
  const __m512i lower = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)a));
  const __m512i upper = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)b));
  return (Vec)_mm512_or_si512(lower, _mm512_slli_epi32(upper, 16));
}

void pack_pairs(const float* b, std::size_t row_stride, std::size_t columns, std::size_t depth, float* packed) {
  for (std::size_t column = 0; column < columns; column += kTileColumns) {
    const std::size_t left = columns - column;
    const std::size_t width = left < kTileColumns ? (left + kLanes - 1) / kLanes * kLanes : kTileColumns;
    for (std::size_t p = 0; p < depth; p += 2) {
      const float* row = b + p * row_stride + column;
      for (std::size_t lane = 0; lane < width; lane += kLanes) {
        const auto part = [&](const float* from) {
          return left - lane >= kLanes ? load(from + lane) : load_part(from + lane, left - lane);
        };
        store(packed + lane, paired(part(row), p + 1 < depth ? part(row + row_stride) : Vec{}));
      }
      packed += width;
    }
  }
}

void round_row(const float* x, std::size_t depth, float* words) {
  constexpr std::size_t kStep = 2 * kLanes;
  std::size_t i = 0;
  for (; i + kStep <= depth; i += kStep) store(words + i / 2, PairWords<float>::vector(x + i));
  if (i == depth) return;
  float part[kStep] = {};
  for (std::size_t j = i; j < depth; ++j) part[j - i] = x[j];
  store_part(words + i / 2, PairWords<float>::vector(part), (depth - i + 1) / 2);
}

}  // namespace

constinit const PairSimd kPairsAvx512 = {"avx512_bf16", kTileRows, kTileColumns,         pack_transposed<PairWords>,
                                         pack_pairs,    round_row, multiply<PairProduct>};

}  // namespace vitgraph::cpu
