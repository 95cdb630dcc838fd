// y = function(gate) · up, element by element.
//
// Template    kActivation; kSize: elements per thread and step: 8 (16 bytes), 4 or 1.
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads.
// Shared      none.
// Assumes     columns and row strides are multiples of kSize, rows aligned to 2 · kSize bytes.
// Numerics    f32 between the bf16 loads and stores: the function's value is not rounded before the product.
#pragma once

#include "kernels/smxx/common/vector_walk.cuh"
#include "kernels/smxx/gate/gate.h"

namespace vitgraph::kernels::smxx {

template <Activation kActivation, int kSize>
__global__ void __launch_bounds__(256) gate_kernel(const GateOperands operands) {
  using Elements = Vector<Bf16, kSize>;
  await_previous_kernels();
  for_each_vector<kSize>(operands.rows, operands.columns, [&](std::int64_t row, std::int64_t column) {
    Elements gate = *reinterpret_cast<const Elements*>(operands.gate.data + row * operands.gate.row_stride + column);
    const Elements up = *reinterpret_cast<const Elements*>(operands.up.data + row * operands.up.row_stride + column);
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      const float open = activate<kActivation>(__bfloat162float(gate.values[j]));
      gate.values[j] = __float2bfloat16_rn(open * __bfloat162float(up.values[j]));
    }
    *reinterpret_cast<Elements*>(operands.y.data + row * operands.y.row_stride + column) = gate;
  });
}

}  // namespace vitgraph::kernels::smxx
