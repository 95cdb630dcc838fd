// y[r][c] = mean over i of x[r][i · columns + c].
//
// Template    kSize: elements per thread and step, 8 (16 bytes) or 1.
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads.
// Shared      none.
// Assumes     columns and row strides are multiples of kSize, rows aligned to 2 · kSize bytes.
// Numerics    the groups are added in order in f32, divided in f32 and rounded once.
#pragma once

#include "kernels/smxx/common/vector_walk.cuh"
#include "kernels/smxx/mean_groups/mean_groups.h"

namespace vitgraph::kernels::smxx {

template <int kSize>
__global__ void __launch_bounds__(256) mean_groups_kernel(const MeanGroupsOperands operands) {
  using Elements = Vector<Bf16, kSize>;
  await_previous_kernels();
  const float count = static_cast<float>(operands.groups);
  for_each_vector<kSize>(operands.rows, operands.columns, [&](std::int64_t row, std::int64_t column) {
    const Bf16* x = operands.x.data + row * operands.x.row_stride + column;
    float sums[kSize] = {};
    // Four loads in flight at once.
#pragma unroll 4
    for (int group = 0; group < operands.groups; ++group, x += operands.columns) {
      const Elements from = *reinterpret_cast<const Elements*>(x);
#pragma unroll
      for (int j = 0; j < kSize; ++j) sums[j] += __bfloat162float(from.values[j]);
    }
    Elements mean;
#pragma unroll
    for (int j = 0; j < kSize; ++j) mean.values[j] = __float2bfloat16_rn(sums[j] / count);
    *reinterpret_cast<Elements*>(operands.y.data + row * operands.y.row_stride + column) = mean;
  });
}

}  // namespace vitgraph::kernels::smxx
