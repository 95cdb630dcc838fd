// Rows of frames → patches in merge-block order, as the encoder reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "imaging/resize.h"

namespace vitgraph::imaging {

struct PatchLayout {
  int patch;     // pixels along one side of a patch
  int merge;     // patches along one side of a token
  int temporal;  // frames in a patch
};

// Writes into `pixels`, [grid.t · grid.h · grid.w, 3, temporal, patch, patch], which the caller owns. Frame size must be
// a multiple of patch · merge on both sides. Every byte is written once every row of every frame has been.
class PatchWriter {
 public:
  PatchWriter(Size frame, size_t frames, PatchLayout layout, uint8_t* pixels);

  // Row `y` of frame `frame`, [width, 3]. Where the frames don't fill the last patches, the last frame repeats.
  void write_row(size_t frame, int y, const uint8_t* rgb);

  // Throws Error VG_ARGUMENT_INVALID where the bytes are too many to be counted.
  static size_t size_bytes(Size frame, size_t frames, PatchLayout layout);

 private:
  // The row in planes_.
  void write_row_to_slot(size_t slot, int y) const;

  Size frame_;
  size_t frames_;
  PatchLayout layout_;
  uint8_t* pixels_;
  std::vector<uint8_t> planes_;  // a row, [3, width]
};

}  // namespace vitgraph::imaging
