// Two-dimensional rotary embedding of heads, in place or from x to y.
//
// Template    kPairs: rotation pairs that a thread turns at once: 4 (8 bytes of either half) or 1.
// Grid        as many blocks as the device holds at once; they walk to the real row count.
// Block       256 threads.
// Shared      none.
// Assumes     head_size / 2 is a multiple of kPairs; rows of x and y at multiples of 2 · kPairs bytes.
// Numerics    f32 between the bf16 loads and stores. The angles are f32, made by the host.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/smxx/rope/rope.h"

namespace vitgraph::kernels::smxx {

/// The heads from `turned_heads` to `all_heads` are copied.
template <int kPairs>
__global__ void __launch_bounds__(256) rope_kernel(const RopeOperands operands, int turned_heads, int all_heads) {
  using Elements = Vector<Bf16, kPairs>;
  wait_for_previous_kernels();
  let_next_kernel_start();
  const std::uint32_t half = operands.head_size / 2;
  const std::uint32_t quarter = operands.head_size / 4;
  const std::uint32_t head_groups = half / kPairs;
  const std::uint32_t row_groups = head_groups * all_heads;
  const std::int64_t all = static_cast<std::int64_t>(real_rows(operands.rows)) * row_groups;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < all; i += step) {
    const std::int64_t row = all >> 31 == 0 ? static_cast<std::uint32_t>(i) / row_groups : i / row_groups;
    const std::uint32_t group = static_cast<std::uint32_t>(i - row * row_groups);
    const std::uint32_t head = group / head_groups;
    const std::uint32_t pair = (group - head * head_groups) * kPairs;
    const std::int64_t column = head * operands.head_size + pair;
    const Bf16* x = operands.x.data + row * operands.x.row_stride + column;
    Bf16* y = operands.y.data + row * operands.y.row_stride + column;
    Elements first = *reinterpret_cast<const Elements*>(x);
    Elements second = *reinterpret_cast<const Elements*>(x + half);
    if (static_cast<int>(head) < turned_heads) {
      const std::int32_t* position = operands.positions.data + row * operands.positions.row_stride;
      const float* by_row = operands.angles.data + __ldg(position) * operands.angles.row_stride;
      const float* by_column = operands.angles.data + __ldg(position + 1) * operands.angles.row_stride - quarter;
#pragma unroll
      for (int j = 0; j < kPairs; ++j) {
        const float* angle = (pair + j < quarter ? by_row : by_column) + pair + j;
        const float cosine = __ldg(angle);
        const float sine = __ldg(angle + quarter);
        const float a = __bfloat162float(first.values[j]);
        const float b = __bfloat162float(second.values[j]);
        first.values[j] = __float2bfloat16_rn(a * cosine - b * sine);
        second.values[j] = __float2bfloat16_rn(b * cosine + a * sine);
      }
    }
    *reinterpret_cast<Elements*>(y) = first;
    *reinterpret_cast<Elements*>(y + half) = second;
  }
}

}  // namespace vitgraph::kernels::smxx
