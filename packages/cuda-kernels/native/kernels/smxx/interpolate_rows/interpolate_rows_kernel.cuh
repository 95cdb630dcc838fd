// Weighted sums of a table's rows.
//
// Template    kSize: elements per thread and step, 8 (16 bytes) or 1.
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads, one warp per row of y.
// Shared      none.
// Assumes     columns and row strides are multiples of kSize, rows aligned to 2 · kSize bytes.
// Numerics    products and sums in f32, tap by tap; rounded once.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/smxx/interpolate_rows/interpolate_rows.h"

namespace vitgraph::kernels::smxx {

template <int kSize>
__global__ void __launch_bounds__(256) interpolate_rows_kernel(const InterpolateRowsOperands operands) {
  using Elements = Vector<Bf16, kSize>;
  await_previous_kernels();
  const int rows = real_rows(operands.rows);
  const int block_rows = static_cast<int>(blockDim.x) / 32;
  for (int row = static_cast<int>(blockIdx.x) * block_rows + static_cast<int>(threadIdx.x) / 32; row < rows;
       row += static_cast<int>(gridDim.x) * block_rows) {
    const std::int32_t* index = operands.index + static_cast<std::int64_t>(row) * operands.taps;
    const float* weights = operands.weights.data + row * operands.weights.row_stride;
    Bf16* y = operands.y.data + row * operands.y.row_stride;
    for (int column = static_cast<int>(threadIdx.x) % 32 * kSize; column < operands.columns; column += 32 * kSize) {
      float sums[kSize] = {};
      // Four table rows in flight at once: most tables are sampled with four taps.
#pragma unroll 4
      for (int tap = 0; tap < operands.taps; ++tap) {
        const Bf16* from_row = operands.table.data + index[tap] * operands.table.row_stride;
        const Elements from = *reinterpret_cast<const Elements*>(from_row + column);
        const float weight = weights[tap];
#pragma unroll
        for (int j = 0; j < kSize; ++j) sums[j] += weight * __bfloat162float(from.values[j]);
      }
      Elements out;
#pragma unroll
      for (int j = 0; j < kSize; ++j) out.values[j] = __float2bfloat16_rn(sums[j]);
      *reinterpret_cast<Elements*>(y + column) = out;
    }
  }
}

}  // namespace vitgraph::kernels::smxx
