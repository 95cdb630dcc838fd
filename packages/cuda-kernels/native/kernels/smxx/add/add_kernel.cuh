// y = a + b, element by element.
//
// Template    kSize: elements per thread and step, 8 (16 bytes) or 1.
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads.
// Shared      none.
// Assumes     columns and row strides are multiples of kSize, rows aligned to 2 · kSize bytes.
// Numerics    the sum is taken in f32 and rounded once.
#pragma once

#include "kernels/smxx/add/add.h"
#include "kernels/smxx/common/vector_walk.cuh"

namespace vitgraph::kernels::smxx {

template <int kSize>
__global__ void __launch_bounds__(256) add_kernel(const AddOperands operands) {
  using Elements = Vector<Bf16, kSize>;
  await_previous_kernels();
  for_each_vector<kSize>(operands.rows, operands.columns, [&](std::int64_t row, std::int64_t column) {
    Elements a = *reinterpret_cast<const Elements*>(operands.a.data + row * operands.a.row_stride + column);
    const Elements b = *reinterpret_cast<const Elements*>(operands.b.data + row * operands.b.row_stride + column);
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      a.values[j] = __float2bfloat16_rn(__bfloat162float(a.values[j]) + __bfloat162float(b.values[j]));
    }
    *reinterpret_cast<Elements*>(operands.y.data + row * operands.y.row_stride + column) = a;
  });
}

}  // namespace vitgraph::kernels::smxx
