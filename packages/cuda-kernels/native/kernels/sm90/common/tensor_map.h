// Tensor maps: TMA's descriptors of a matrix. Host code.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>

namespace vitgraph::kernels::sm90 {

/// bf16, dimensions innermost first. Elements outside of `sizes` are read as zeros.
template <int kDimensions>
struct TensorBox {
  const void* data;
  std::array<std::uint64_t, kDimensions> sizes;
  /// Strides in elements, multiples of 8. The innermost is 1 and omitted.
  std::array<std::uint64_t, kDimensions - 1> strides;
  /// The box of one copy: rows of `row_bytes`, innermost.
  std::array<std::uint32_t, kDimensions> box;
  /// 32, 64 or 128: the width of the swizzle in shared memory, as wgmma expects it.
  int row_bytes;
};

/// Fills a map to be passed to a kernel by value. Gets the driver's entry point from the runtime, so nothing links to
/// it.
cudaError_t encode_tensor_map(CUtensorMap& map, const void* data, int dimensions, const std::uint64_t* sizes,
                              const std::uint64_t* strides, const std::uint32_t* box, int row_bytes);

template <int kDimensions>
cudaError_t encode_tensor_map(CUtensorMap& map, const TensorBox<kDimensions>& tensor) {
  return encode_tensor_map(map, tensor.data, kDimensions, tensor.sizes.data(), tensor.strides.data(), tensor.box.data(),
                           tensor.row_bytes);
}

}  // namespace vitgraph::kernels::sm90
