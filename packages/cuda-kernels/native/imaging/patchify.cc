#include "imaging/patchify.h"

#include "common/checked_product.h"

namespace vitgraph::imaging {
namespace {

size_t slots_of(size_t frames, int temporal) {
  const auto size = static_cast<size_t>(temporal);
  return (frames + size - 1) / size * size;
}

}  // namespace

PatchWriter::PatchWriter(Size frame, size_t frames, PatchLayout layout, uint8_t* pixels)
    : frame_(frame), frames_(frames), layout_(layout), pixels_(pixels) {}

size_t PatchWriter::size_bytes(Size frame, size_t frames, PatchLayout layout) {
  return checked_product({slots_of(frames, layout.temporal), static_cast<size_t>(frame.height),
                          static_cast<size_t>(frame.width), size_t{kChannels}});
}

void PatchWriter::write_row(size_t frame, int y, const uint8_t* rgb) const {
  const size_t end = frame == frames_ - 1 ? slots_of(frames_, layout_.temporal) : frame + 1;
  for (size_t slot = frame; slot < end; slot++) write_row_to_slot(slot, y, rgb);
}

void PatchWriter::write_row_to_slot(size_t slot, int y, const uint8_t* rgb) const {
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
  for (size_t column = 0; column < grid_w; column++) {
    const size_t index = row_start + column / merge * merge * merge + column % merge;
    uint8_t* red = pixels_ + index * patch_bytes + offset;
    for (int x = 0; x < patch; x++, rgb += kChannels) {
      red[x] = rgb[0];
      red[x + channel_bytes] = rgb[1];
      red[x + 2 * channel_bytes] = rgb[2];
    }
  }
}

}  // namespace vitgraph::imaging
