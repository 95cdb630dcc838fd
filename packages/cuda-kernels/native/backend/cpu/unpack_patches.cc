// Patches as the host staged them → normalised rows [channels, temporal, patch area].
#include <algorithm>
#include <cstring>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {
namespace {

/// PIXEL_FORMATS in src/kernels.ts.
enum class PixelFormat : std::uint32_t { u8_still, u8, normalized };

}  // namespace

void unpack_patches(const Call& call) {
  using namespace operands::unpack_patches;
  const auto pixels = call.matrix<const std::uint8_t>(PIXELS);
  const auto sources = call.matrix<const std::uint32_t>(PATCH_SOURCES);
  const auto channel_scale = call.matrix<const float>(CHANNEL_SCALE);
  const auto y = call.matrix<float>(Y);
  const std::size_t channels = call.count(0);
  const std::size_t temporal = call.count(1);
  const std::size_t area = call.count(2);

  const std::size_t pixels_bytes = pixels.rows == 0 ? 0 : (pixels.rows - 1) * pixels.row_stride + pixels.columns;
  for (std::size_t row = 0; row < y.rows; ++row) {
    const std::uint32_t source = *sources.row(row);
    const auto format = static_cast<PixelFormat>(source & 3u);
    if (format > PixelFormat::normalized) call.bad_contents("patch " + std::to_string(row) + " has pixel format 3");
    const std::size_t frames = format == PixelFormat::u8_still ? 1 : temporal;
    const std::size_t value_bytes = format == PixelFormat::normalized ? sizeof(float) : 1;
    const std::size_t start = std::size_t{source >> 2} * 4;
    const std::size_t end = start + channels * frames * area * value_bytes;
    if (end > pixels_bytes) {
      call.bad_contents("patch " + std::to_string(row) + " ends at byte " + std::to_string(end) + " of the " +
                        std::to_string(pixels_bytes) + " bytes of pixels");
    }
  }

  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    const std::uint32_t source = *sources.row(row);
    const auto format = static_cast<PixelFormat>(source & 3u);
    const std::uint8_t* in = pixels.data + std::size_t{source >> 2} * 4;
    float* out = y.row(row);
    if (format == PixelFormat::normalized) {
      std::memcpy(out, in, y.columns * sizeof(float));
      return;
    }
    for (std::size_t channel = 0; channel < channels; ++channel) {
      const float scale = channel_scale.row(channel)[0];
      const float shift = channel_scale.row(channel)[1];
      for (std::size_t frame = 0; frame < temporal; ++frame) {
        const std::size_t plane = format == PixelFormat::u8_still ? channel : channel * temporal + frame;
        for (std::size_t i = 0; i < area; ++i) *out++ = static_cast<float>(in[plane * area + i]) * scale + shift;
      }
    }
  });
}

}  // namespace vitgraph::cpu
