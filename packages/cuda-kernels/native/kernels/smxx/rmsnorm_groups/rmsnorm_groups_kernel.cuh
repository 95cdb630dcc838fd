// Root-mean-square normalisation: y = x / sqrt(mean of x² + epsilon) · weight over each group of columns of a row.
//
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads, one warp per group.
// Shared      none.
// Assumes     any columns and alignment. A group is read twice, the second time from cache.
// Numerics    f32, rounded once.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/smxx/common/row_sum.cuh"
#include "kernels/smxx/rmsnorm_groups/rmsnorm_groups.h"

namespace vitgraph::kernels::smxx {

__global__ void __launch_bounds__(256) rmsnorm_groups_kernel(const RmsnormGroupsOperands operands) {
  await_previous_kernels();
  const std::int64_t all = static_cast<std::int64_t>(real_rows(operands.rows)) * operands.groups;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * 8;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const float share = 1.0f / static_cast<float>(operands.columns);
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * 8 + threadIdx.x / 32; i < all; i += step) {
    const std::int64_t row = i / operands.groups;
    const std::int64_t start = (i - row * operands.groups) * operands.columns;
    const Bf16* x = operands.x.data + row * operands.x.row_stride + start;
    Bf16* y = operands.y.data + row * operands.y.row_stride + start;
    float squares = 0;
    for (int at = lane; at < operands.columns; at += 32) {
      const float value = __bfloat162float(x[at]);
      squares += value * value;
    }
    const float scale = 1.0f / sqrtf(sum_over_row<32>(squares, nullptr) * share + operands.epsilon);
    for (int at = lane; at < operands.columns; at += 32) {
      const float weight = operands.weight == nullptr ? 1.0f : __bfloat162float(operands.weight[at]);
      y[at] = __float2bfloat16_rn(__bfloat162float(x[at]) * scale * weight);
    }
  }
}

}  // namespace vitgraph::kernels::smxx
