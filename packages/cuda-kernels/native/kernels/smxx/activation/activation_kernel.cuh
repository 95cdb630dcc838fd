// y = function(x), element by element.
//
// Template    kActivation; kSize: elements per thread and step, 8 (16 bytes) or 1.
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads.
// Shared      none.
// Assumes     columns and row strides are multiples of kSize, rows aligned to 2 · kSize bytes.
// Numerics    f32 between the bf16 loads and stores.
#pragma once

#include "kernels/smxx/activation/activation.h"
#include "kernels/smxx/common/vector_walk.cuh"

namespace vitgraph::kernels::smxx {

template <Activation kActivation, int kSize>
__global__ void __launch_bounds__(256) activation_kernel(const ActivationOperands operands) {
  using Elements = Vector<Bf16, kSize>;
  await_previous_kernels();
  for_each_vector<kSize>(operands.rows, operands.columns, [&](std::int64_t row, std::int64_t column) {
    Elements x = *reinterpret_cast<const Elements*>(operands.x.data + row * operands.x.row_stride + column);
#pragma unroll
    for (Bf16& value : x.values) value = __float2bfloat16_rn(activate<kActivation>(__bfloat162float(value)));
    *reinterpret_cast<Elements*>(operands.y.data + row * operands.y.row_stride + column) = x;
  });
}

}  // namespace vitgraph::kernels::smxx
