// The grid-stride loop of elementwise kernels over the real rows, kSize elements per thread and step.
#pragma once

#include "kernels/common/device.cuh"

namespace vitgraph::kernels::smxx {

/// Calls `body(row, column)` with the position of the first of `kSize` elements, for all steps of this thread. Columns
/// are a multiple of kSize.
template <int kSize, typename Body>
__device__ __forceinline__ void for_each_vector(const Rows& rows, std::int32_t columns, Body&& body) {
  const std::int64_t vectors = columns / kSize;
  const std::int64_t all = real_rows(rows) * vectors;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < all; i += step) {
    // 32-bit division if possible: a 64-bit division takes longer than the memory accesses.
    const std::int64_t row =
        all >> 31 == 0 ? static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(vectors) : i / vectors;
    body(row, (i - row * vectors) * kSize);
  }
}

}  // namespace vitgraph::kernels::smxx
