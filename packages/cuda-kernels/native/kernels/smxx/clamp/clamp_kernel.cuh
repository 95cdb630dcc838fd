// y = min(max(x, low), high), element by element.
//
// Template    kSize: elements per thread and step, 8 (16 bytes) or 1.
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads.
// Shared      none.
// Assumes     columns and row strides are multiples of kSize, rows aligned to 2 · kSize bytes.
// Numerics    none: an element or a bound is copied.
#pragma once

#include "kernels/smxx/clamp/clamp.h"
#include "kernels/smxx/common/vector_walk.cuh"

namespace vitgraph::kernels::smxx {

template <int kSize>
__global__ void __launch_bounds__(256) clamp_kernel(const ClampOperands operands) {
  using Elements = Vector<Bf16, kSize>;
  await_previous_kernels();
  const float low = __bfloat162float(*operands.low);
  const float high = __bfloat162float(*operands.high);
  for_each_vector<kSize>(operands.rows, operands.columns, [&](std::int64_t row, std::int64_t column) {
    Elements x = *reinterpret_cast<const Elements*>(operands.x.data + row * operands.x.row_stride + column);
#pragma unroll
    for (Bf16& value : x.values) {
      const float given = __bfloat162float(value);
      const float raised = given < low ? low : given;
      value = __float2bfloat16_rn(raised > high ? high : raised);
    }
    *reinterpret_cast<Elements*>(operands.y.data + row * operands.y.row_stride + column) = x;
  });
}

}  // namespace vitgraph::kernels::smxx
