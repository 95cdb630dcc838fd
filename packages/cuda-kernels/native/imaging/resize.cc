// Two passes, the rows first. As in torch and Pillow the values between the passes are rounded to uint8: computing them
// more exactly would give a result that differs.
//
// Both passes are one loop: a weighted sum of equally long runs of bytes. Going down, the runs are the image's rows.
// Going across, kStrip rows are transposed first, so that a run is one column of the strip.

#include "imaging/resize.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "imaging/resize_weights.h"

// The loops below are plain, and compilers vectorise them. A portable x86-64 build would stop at SSE2, so the hot ones
// are compiled for wider registers too and chosen when the library is loaded.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define VG_WIDE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VG_WIDE_CLONES
#endif

namespace vitgraph::imaging {
namespace {

constexpr int kStrip = 16;                  // rows in a strip
constexpr int kLanes = kStrip * kChannels;  // bytes summed at a time: few enough for their sums to stay in registers

uint8_t to_byte(int32_t sum, int precision) { return static_cast<uint8_t>(std::clamp(sum >> precision, 0, 255)); }

// result[i] = Σ weights[k] · runs[k · stride + i] for i < length, rounded and clamped. Exact: int32 holds any sum, since
// the weights sum to 2^precision ≤ 2^22 and the negative ones to less than a quarter of it.
VG_WIDE_CLONES
void weighted_sum(const uint8_t* runs, size_t stride, const int16_t* weights, int count, int precision, size_t length,
                  uint8_t* result) {
  const int32_t half = 1 << (precision - 1);
  size_t i = 0;
  for (; i + kLanes <= length; i += kLanes) {
    int32_t sums[kLanes];
    for (int lane = 0; lane < kLanes; lane++) sums[lane] = half;
    for (int k = 0; k < count; k++) {
      const uint8_t* run = runs + k * stride + i;
      const int32_t weight = weights[k];
      for (int lane = 0; lane < kLanes; lane++) sums[lane] += weight * run[lane];
    }
    for (int lane = 0; lane < kLanes; lane++) result[i + lane] = to_byte(sums[lane], precision);
  }
  for (; i < length; i++) {
    int32_t sum = half;
    for (int k = 0; k < count; k++) sum += weights[k] * runs[k * stride + i];
    result[i] = to_byte(sum, precision);
  }
}

// A strip of rows ↔ its columns. `columns` is [width · 3, kStrip].
void rows_to_columns(const uint8_t* rows, size_t row_bytes, int height, uint8_t* columns) {
  for (int y = 0; y < height; y++) {
    const uint8_t* row = rows + y * row_bytes;
    for (size_t x = 0; x < row_bytes; x++) columns[x * kStrip + y] = row[x];
  }
}

void columns_to_rows(const uint8_t* columns, size_t row_bytes, int height, uint8_t* rows) {
  for (int y = 0; y < height; y++) {
    uint8_t* row = rows + y * row_bytes;
    for (size_t x = 0; x < row_bytes; x++) row[x] = columns[x * kStrip + y];
  }
}

std::unique_ptr<uint8_t[]> resize_across(Filter filter, const uint8_t* rgb, Size from, int to_width) {
  const ResizeWeights weights = resize_weights(filter, from.width, to_width);
  const size_t from_bytes = static_cast<size_t>(from.width) * kChannels;
  const size_t to_bytes = static_cast<size_t>(to_width) * kChannels;
  constexpr size_t kRun = kStrip * kChannels;  // one column of a strip: exactly kLanes bytes
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
