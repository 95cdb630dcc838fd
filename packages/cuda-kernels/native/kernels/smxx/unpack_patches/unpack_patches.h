// Staged patches → normalised bf16 rows.
#pragma once

#include "kernels/common/launch.h"

namespace vitgraph::kernels::smxx {

/// The format in the lowest two bits of a patch's source word; the other bits are its offset in bytes, a multiple of 4.
/// Equals PIXEL_FORMATS in src/kernels.ts. `normalized` is f32.
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

/// `pixels` is aligned to 4 bytes. Fastest if the area is a multiple of 8 (patch size 16) or 4 (patch size 14) and rows
/// of y are aligned to 16 or 8 bytes; any other area works.
cudaError_t launch_unpack_patches(const Launch& launch, const UnpackPatchesOperands& operands);

}  // namespace vitgraph::kernels::smxx
