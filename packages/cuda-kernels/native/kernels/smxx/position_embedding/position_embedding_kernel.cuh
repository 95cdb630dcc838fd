// A square table of learned position embeddings, sampled bilinearly (corners aligned) at each patch of its grid.
//
// Template    kSize: elements a thread takes at once, 8 (16 bytes) or 1.
// Grid        as many blocks as the device holds at once; they walk to the real row count.
// Block       256 threads, a warp a patch.
// Shared      none.
// Assumes     columns and row strides are multiples of kSize, rows at multiples of 2 · kSize bytes.
// Numerics    coordinates are those of torch.linspace(0, side - 1, n) in f32, without fused multiply-add; the four
//             products are summed in f32 and rounded once.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/smxx/position_embedding/position_embedding.h"

namespace vitgraph::kernels::smxx {

/// One axis of the sample: two neighbouring rows (or columns) of the table, and the weight of the second.
struct Neighbours {
  int low;
  int high;
  float fraction;
};

/// Element `index` of torch.linspace(0, side - 1, count), which counts from the nearer end.
__device__ __forceinline__ Neighbours sample(int index, int count, int side) {
  const float end = static_cast<float>(side - 1);
  float coordinate = 0;
  if (count > 1) {
    const float step = __fdiv_rn(end, static_cast<float>(count - 1));
    coordinate = index < count / 2 ? __fmul_rn(step, static_cast<float>(index))
                                   : __fsub_rn(end, __fmul_rn(step, static_cast<float>(count - 1 - index)));
  }
  const int low = static_cast<int>(coordinate);
  return {low, min(low + 1, side - 1), coordinate - static_cast<float>(low)};
}

template <int kSize>
__global__ void __launch_bounds__(256) position_embedding_kernel(const PositionEmbeddingOperands operands) {
  using Elements = Vector<Bf16, kSize>;
  await_previous_kernels();
  const int rows = real_rows(operands.rows);
  const int block_rows = static_cast<int>(blockDim.x) / 32;
  for (int row = static_cast<int>(blockIdx.x) * block_rows + static_cast<int>(threadIdx.x) / 32; row < rows;
       row += static_cast<int>(gridDim.x) * block_rows) {
    const std::int32_t* position = operands.positions.data + row * operands.positions.row_stride;
    const Neighbours vertical = sample(position[0], position[2], operands.side);
    const Neighbours horizontal = sample(position[1], position[3], operands.side);
    const int rows_of_table[2] = {vertical.low, vertical.high};
    const int columns_of_table[2] = {horizontal.low, horizontal.high};
    const Bf16* corners[4];
    float weights[4];
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      const int at = rows_of_table[corner / 2] * operands.side + columns_of_table[corner % 2];
      corners[corner] = operands.table.data + at * operands.table.row_stride;
      weights[corner] = (corner / 2 == 0 ? 1 - vertical.fraction : vertical.fraction) *
                        (corner % 2 == 0 ? 1 - horizontal.fraction : horizontal.fraction);
    }
    Bf16* y = operands.y.data + row * operands.y.row_stride;
    for (int column = static_cast<int>(threadIdx.x) % 32 * kSize; column < operands.columns; column += 32 * kSize) {
      float sums[kSize] = {};
#pragma unroll
      for (int corner = 0; corner < 4; ++corner) {
        const Elements from = *reinterpret_cast<const Elements*>(corners[corner] + column);
#pragma unroll
        for (int j = 0; j < kSize; ++j) sums[j] += weights[corner] * __bfloat162float(from.values[j]);
      }
      Elements out;
#pragma unroll
      for (int j = 0; j < kSize; ++j) out.values[j] = __float2bfloat16_rn(sums[j]);
      *reinterpret_cast<Elements*>(y + column) = out;
    }
  }
}

}  // namespace vitgraph::kernels::smxx
