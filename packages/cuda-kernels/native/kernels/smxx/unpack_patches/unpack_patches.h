// Patches as the host staged them → normalised bf16 rows.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

/// The lowest two bits of a patch's source word; the rest is its offset in bytes, a multiple of 4. PIXEL_FORMATS in
/// src/kernels.ts; `normalized` is f32.
enum class PixelFormat : std::uint32_t { u8_still, u8, normalized };

struct UnpackPatchesOperands {
  const std::uint8_t* pixels;
  /// [rows]. The host has checked that every patch lies within the pixels.
  const std::uint32_t* patch_sources;
  /// [channels, 2]: y = u8 · scale + shift.
  const float* channel_scale;
  /// [rows, channels · temporal · patch_area]
  View<Bf16> y;
  Rows rows;
  std::int32_t channels;
  std::int32_t temporal;
  std::int32_t patch_area;
};

/// `pixels` at a multiple of 4 bytes. Areas that are multiples of 8 (patches of 16) or 4 (of 14), with rows of y at
/// multiples of 16 or 8 bytes, are fast; any other works.
cudaError_t launch_unpack_patches(const Launch& launch, const UnpackPatchesOperands& operands);

}  // namespace vitgraph::kernels::smxx
