#include "imaging/patchify.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>

#include "common/checked_product.h"

namespace vitgraph::imaging {
namespace {

size_t slots_of(size_t frames, int temporal) {
  const auto size = static_cast<size_t>(temporal);
  return (frames + size - 1) / size * size;
}

// [width, 3] → [3, width].
void split_channels(const uint8_t* rgb, size_t width, uint8_t* planes) {
  size_t x = 0;
#ifdef __SSE2__
  for (; x + 16 <= width; x += 16) {
    __m128i bytes[kChannels];
    for (int i = 0; i < kChannels; i++) {
      bytes[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rgb + x * kChannels + i * 16));
    }
    // A perfect shuffle of 48 bytes moves byte i to 2i mod 47. Four move it to 16i mod 47: byte 3i to i.
    for (int round = 0; round < 4; round++) {
      const auto [a, b, c] = bytes;
      bytes[0] = _mm_unpacklo_epi8(a, _mm_unpackhi_epi64(b, b));
      bytes[1] = _mm_unpacklo_epi8(_mm_unpackhi_epi64(a, a), c);
      bytes[2] = _mm_unpacklo_epi8(b, _mm_unpackhi_epi64(c, c));
    }
    for (int i = 0; i < kChannels; i++) _mm_storeu_si128(reinterpret_cast<__m128i*>(planes + i * width + x), bytes[i]);
  }
#endif
  for (; x < width; x++) {
    for (int i = 0; i < kChannels; i++) planes[i * width + x] = rgb[x * kChannels + i];
  }
}

}  // namespace

PatchWriter::PatchWriter(Size frame, size_t frames, PatchLayout layout, uint8_t* pixels)
    : frame_(frame),
      frames_(frames),
      layout_(layout),
      pixels_(pixels),
      planes_(static_cast<size_t>(frame.width) * kChannels) {}

size_t PatchWriter::size_bytes(Size frame, size_t frames, PatchLayout layout) {
  return checked_product({slots_of(frames, layout.temporal), static_cast<size_t>(frame.height),
                          static_cast<size_t>(frame.width), size_t{kChannels}});
}

void PatchWriter::write_row(size_t frame, int y, const uint8_t* rgb) {
  split_channels(rgb, static_cast<size_t>(frame_.width), planes_.data());
  const size_t end = frame == frames_ - 1 ? slots_of(frames_, layout_.temporal) : frame + 1;
  for (size_t slot = frame; slot < end; slot++) write_row_to_slot(slot, y);
}

void PatchWriter::write_row_to_slot(size_t slot, int y) const {
  const auto [patch, merge, temporal] = layout_;
  const size_t plane = static_cast<size_t>(patch) * patch;
  const size_t channel_bytes = plane * temporal;
  const size_t patch_bytes = channel_bytes * kChannels;
  const size_t grid_w = frame_.width / patch;
  const size_t grid_h = frame_.height / patch;
  const size_t row = y / patch;
  // A row of blocks is merge · grid_w patches; within a block, this row of patches is number row % merge.
  const size_t row_start = slot / temporal * grid_h * grid_w + row / merge * merge * grid_w + row % merge * merge;
  const size_t offset = slot % temporal * plane + static_cast<size_t>(y % patch) * patch;
  const auto write = [&](size_t length) {
    for (size_t column = 0; column < grid_w; column++) {
      const size_t index = row_start + column / merge * merge * merge + column % merge;
      uint8_t* to = pixels_ + index * patch_bytes + offset;
      const uint8_t* from = planes_.data() + column * length;
      for (int i = 0; i < kChannels; i++) std::copy_n(from + i * frame_.width, length, to + i * channel_bytes);
    }
  };
  // A length that the compiler knows makes each copy a load and a store.
  if (patch == 16)
    write(16);
  else if (patch == 14)
    write(14);
  else
    write(static_cast<size_t>(patch));
}

}  // namespace vitgraph::imaging
