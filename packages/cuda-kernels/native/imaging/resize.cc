// Two passes, the rows first. As in torch and Pillow the values between the passes are rounded to uint8: computing them
// more exactly would give a result that differs.
//
// Both passes are one loop: a weighted sum of equally long runs of bytes. Going down, the runs are the image's rows.
// Going across, kStrip rows are transposed first, so that a run is one column of the strip.

#include "imaging/resize.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "imaging/resize_weights.h"

namespace vitgraph::imaging {
namespace {

constexpr int kStrip = 16;  // rows in a strip

uint8_t to_byte(int32_t sum, int precision) { return static_cast<uint8_t>(std::clamp(sum >> precision, 0, 255)); }

// 16 lanes of weighted_sum.
void weighted_sum_16(const uint8_t* runs, size_t stride, const int16_t* weights, int count, int precision,
                     uint8_t* result) {
#ifdef __SSE2__
  // Two runs at a time: their bytes are interleaved, widened to pairs of 16 bits, and multiplied by the two weights.
  const auto load = [&](int k) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(runs + k * stride)); };
  const __m128i zero = _mm_setzero_si128();
  __m128i sums[4];
  for (__m128i& sum : sums) sum = _mm_set1_epi32(1 << (precision - 1));
  for (int k = 0; k < count; k += 2) {
    const bool paired = k + 1 < count;
    const __m128i first = load(k);
    const __m128i second = paired ? load(k + 1) : zero;
    const int pair = (paired ? weights[k + 1] : 0) * (1 << 16) | static_cast<uint16_t>(weights[k]);
    const __m128i both = _mm_set1_epi32(pair);
    const __m128i low = _mm_unpacklo_epi8(first, second);
    const __m128i high = _mm_unpackhi_epi8(first, second);
    sums[0] = _mm_add_epi32(sums[0], _mm_madd_epi16(_mm_unpacklo_epi8(low, zero), both));
    sums[1] = _mm_add_epi32(sums[1], _mm_madd_epi16(_mm_unpackhi_epi8(low, zero), both));
    sums[2] = _mm_add_epi32(sums[2], _mm_madd_epi16(_mm_unpacklo_epi8(high, zero), both));
    sums[3] = _mm_add_epi32(sums[3], _mm_madd_epi16(_mm_unpackhi_epi8(high, zero), both));
  }
  for (__m128i& sum : sums) sum = _mm_srai_epi32(sum, precision);
  // Both packings saturate, which clamps to a byte.
  const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(sums[0], sums[1]), _mm_packs_epi32(sums[2], sums[3]));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(result), bytes);
#else
  // Compilers vectorise these loops.
  int32_t sums[16];
  for (int32_t& sum : sums) sum = 1 << (precision - 1);
  for (int k = 0; k < count; k++) {
    const uint8_t* run = runs + k * stride;
    const int32_t weight = weights[k];
    for (int lane = 0; lane < 16; lane++) sums[lane] += weight * run[lane];
  }
  for (int lane = 0; lane < 16; lane++) result[lane] = to_byte(sums[lane], precision);
#endif
}

// result[i] = Σ weights[k] · runs[k · stride + i] for i < length, rounded and clamped. Exact: int32 holds any sum, since
// the weights sum to 2^precision ≤ 2^22 and the negative ones to less than a quarter of it.
void weighted_sum(const uint8_t* runs, size_t stride, const int16_t* weights, int count, int precision, size_t length,
                  uint8_t* result) {
  size_t i = 0;
  for (; i + 16 <= length; i += 16) weighted_sum_16(runs + i, stride, weights, count, precision, result + i);
  for (; i < length; i++) {
    int32_t sum = 1 << (precision - 1);
    for (int k = 0; k < count; k++) sum += weights[k] * runs[k * stride + i];
    result[i] = to_byte(sum, precision);
  }
}

static_assert(kStrip == 16, "blocks of 16 × 16 bytes are transposed");

// Transposes 16 × 16 bytes: to[i][j] = from[j][i]. Rows of `from` and of `to` are the strides apart.
void transpose_block(const uint8_t* from, size_t from_stride, uint8_t* to, size_t to_stride) {
#ifdef __SSE2__
  __m128i rows[16], turned[16];
  for (int i = 0; i < 16; i++) rows[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * from_stride));
  // Four perfect shuffles of the 256 bytes are a transpose.
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 8; i++) {
      turned[2 * i] = _mm_unpacklo_epi8(rows[i], rows[i + 8]);
      turned[2 * i + 1] = _mm_unpackhi_epi8(rows[i], rows[i + 8]);
    }
    std::copy(std::begin(turned), std::end(turned), std::begin(rows));
  }
  for (int i = 0; i < 16; i++) _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i * to_stride), rows[i]);
#else
  for (int i = 0; i < 16; i++) {
    for (int j = 0; j < 16; j++) to[i * to_stride + j] = from[j * from_stride + i];
  }
#endif
}

// A strip of rows ↔ its columns. `columns` is [width · 3, kStrip].
void rows_to_columns(const uint8_t* rows, size_t row_bytes, int height, uint8_t* columns) {
  size_t x = 0;
  if (height == kStrip) {
    for (; x + 16 <= row_bytes; x += 16) transpose_block(rows + x, row_bytes, columns + x * kStrip, kStrip);
  }
  for (; x < row_bytes; x++) {
    for (int y = 0; y < height; y++) columns[x * kStrip + y] = rows[y * row_bytes + x];
  }
}

void columns_to_rows(const uint8_t* columns, size_t row_bytes, int height, uint8_t* rows) {
  size_t x = 0;
  if (height == kStrip) {
    for (; x + 16 <= row_bytes; x += 16) transpose_block(columns + x * kStrip, kStrip, rows + x, row_bytes);
  }
  for (; x < row_bytes; x++) {
    for (int y = 0; y < height; y++) rows[y * row_bytes + x] = columns[x * kStrip + y];
  }
}

std::unique_ptr<uint8_t[]> resize_across(Filter filter, const uint8_t* rgb, Size from, int to_width) {
  const ResizeWeights weights = resize_weights(filter, from.width, to_width);
  const size_t from_bytes = static_cast<size_t>(from.width) * kChannels;
  const size_t to_bytes = static_cast<size_t>(to_width) * kChannels;
  constexpr size_t kRun = kStrip * kChannels;  // one column of a strip
  auto result = std::make_unique_for_overwrite<uint8_t[]>(to_bytes * from.height);
  std::vector<uint8_t> from_columns(from_bytes * kStrip), to_columns(to_bytes * kStrip);
  for (int y = 0; y < from.height; y += kStrip) {
    const int height = std::min(kStrip, from.height - y);  // a short strip's spare bytes are summed, and dropped
    rows_to_columns(rgb + y * from_bytes, from_bytes, height, from_columns.data());
    for (int x = 0; x < to_width; x++) {
      const auto& taps = weights.taps[x];
      weighted_sum(from_columns.data() + taps.first * kRun, kRun, &weights.values[taps.weights], taps.count,
                   weights.precision, kRun, to_columns.data() + x * kRun);
    }
    columns_to_rows(to_columns.data(), to_bytes, height, result.get() + y * to_bytes);
  }
  return result;
}

}  // namespace

void resize(Filter filter, const uint8_t* rgb, Size from, Size to, const RowSink& sink) {
  const size_t row_bytes = static_cast<size_t>(to.width) * kChannels;
  std::unique_ptr<uint8_t[]> across;
  if (from.width != to.width) {
    across = resize_across(filter, rgb, from, to.width);
    rgb = across.get();
  }
  if (from.height == to.height) {
    for (int y = 0; y < to.height; y++) sink(y, rgb + y * row_bytes);
    return;
  }
  const ResizeWeights weights = resize_weights(filter, from.height, to.height);
  std::vector<uint8_t> row(row_bytes);
  for (int y = 0; y < to.height; y++) {
    const auto& taps = weights.taps[y];
    weighted_sum(rgb + taps.first * row_bytes, row_bytes, &weights.values[taps.weights], taps.count, weights.precision,
                 row_bytes, row.data());
    sink(y, row.data());
  }
}

}  // namespace vitgraph::imaging
