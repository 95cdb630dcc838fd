// Staged patches → normalised rows [channels, temporal, patch area].
//
// Template    kSize: elements per thread, step and temporal slice: 8, 4 or 1.
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads.
// Shared      none.
// Assumes     patch_area is a multiple of kSize; rows of y aligned to 2 · kSize bytes; sources aligned to 4
//             bytes, so 8 pixels are read as two words.
// Numerics    u8 · scale + shift in f32, rounded once. Normalised f32 pixels are only rounded.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/smxx/unpack_patches/unpack_patches.h"

namespace vitgraph::kernels::smxx {

/// Loads `kSize` elements of `T` from an address aligned to 4 bytes, or to the element's size if kSize is 1.
template <typename T, int kSize>
__device__ __forceinline__ Vector<T, kSize> load_words(const T* from) {
  Vector<T, kSize> to;
  if constexpr (kSize == 1) {
    to.values[0] = __ldg(from);
  } else {
    std::uint32_t words[sizeof(to) / 4];
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(to) / 4); ++i) {
      words[i] = __ldg(reinterpret_cast<const std::uint32_t*>(from) + i);
    }
    memcpy(&to, words, sizeof(to));
  }
  return to;
}

template <int kSize>
__global__ void __launch_bounds__(256) unpack_patches_kernel(const UnpackPatchesOperands operands) {
  await_previous_kernels();
  const std::uint32_t area = operands.patch_area;
  const std::uint32_t plane_vectors = area / kSize;
  const std::uint32_t row_vectors = operands.channels * plane_vectors;
  const std::int64_t all = static_cast<std::int64_t>(real_rows(operands.rows)) * row_vectors;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < all; i += step) {
    const std::int64_t row = all >> 31 == 0 ? static_cast<std::uint32_t>(i) / row_vectors : i / row_vectors;
    const std::uint32_t vector = static_cast<std::uint32_t>(i - row * row_vectors);
    const std::uint32_t channel = vector / plane_vectors;
    const std::uint32_t in_plane = (vector - channel * plane_vectors) * kSize;
    const std::uint32_t source = __ldg(operands.patch_sources + row);
    const auto format = static_cast<PixelFormat>(source & 3u);
    const std::uint8_t* in = operands.pixels + (source & ~3u);
    const float scale = __ldg(operands.channel_scale + 2 * channel);
    const float shift = __ldg(operands.channel_scale + 2 * channel + 1);
    const std::uint32_t column = channel * operands.temporal * area + in_plane;
    Bf16* y = operands.y.data + row * operands.y.row_stride + column;
    Vector<Bf16, kSize> out;
    for (int frame = 0; frame < operands.temporal; ++frame) {
      if (format == PixelFormat::normalized) {
        const auto pixels = load_words<float, kSize>(reinterpret_cast<const float*>(in) + column + frame * area);
#pragma unroll
        for (int j = 0; j < kSize; ++j) out.values[j] = __float2bfloat16_rn(pixels.values[j]);
      } else if (format == PixelFormat::u8 || frame == 0) {
        const auto pixels = load_words<std::uint8_t, kSize>(
            in + (format == PixelFormat::u8 ? column + frame * area : channel * area + in_plane));
#pragma unroll
        for (int j = 0; j < kSize; ++j) {
          out.values[j] = __float2bfloat16_rn(static_cast<float>(pixels.values[j]) * scale + shift);
        }
      }
      *reinterpret_cast<Vector<Bf16, kSize>*>(y + frame * area) = out;
    }
  }
}

}  // namespace vitgraph::kernels::smxx
