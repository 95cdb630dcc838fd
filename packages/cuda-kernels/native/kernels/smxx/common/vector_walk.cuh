// How elementwise kernels walk over the real rows: thread by thread, some elements at a time.
#pragma once

#include "kernels/common/device.cuh"

namespace vitgraph::kernels::smxx {

/// Calls `body(row, column)` for the first of every `kSize` elements that are this thread's. Columns are a multiple of
/// kSize.
template <int kSize, typename Body>
__device__ __forceinline__ void for_each_vector(const Rows& rows, std::int32_t columns, Body&& body) {
  const std::int64_t vectors = columns / kSize;
  const std::int64_t all = real_rows(rows) * vectors;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < all; i += step) {
    // 32-bit division where it is enough: that of 64 bits costs more than the memory.
    const std::int64_t row = all >> 31 == 0 ? static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(vectors)
                                            : i / vectors;
    body(row, (i - row * vectors) * kSize);
  }
}

}  // namespace vitgraph::kernels::smxx
