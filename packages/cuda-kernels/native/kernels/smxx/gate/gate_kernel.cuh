// y = function(gate) · up, element by element.
//
// Template    kActivation; kSize: elements a thread takes at once: 8 (16 bytes), 4 or 1.
// Grid        as many blocks as the device holds at once; they walk to the real row count.
// Block       256 threads.
// Shared      none.
// Assumes     columns and row strides are multiples of kSize, rows at multiples of 2 · kSize bytes.
// Numerics    f32 between the bf16 loads and stores: the function's value is not rounded before the product.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/smxx/gate/gate.h"

namespace vitgraph::kernels::smxx {

template <Activation kActivation, int kSize>
__global__ void __launch_bounds__(256) gate_kernel(const GateOperands operands) {
  using Elements = Vector<Bf16, kSize>;
  await_previous_kernels();
  const std::int64_t vectors = operands.columns / kSize;
  const std::int64_t all = real_rows(operands.rows) * vectors;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < all; i += step) {
    // 32-bit division where it is enough: that of 64 bits costs more than the memory.
    const std::int64_t row = all >> 31 == 0 ? static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(vectors)
                                            : i / vectors;
    const std::int64_t column = (i - row * vectors) * kSize;
    Elements gate = *reinterpret_cast<const Elements*>(operands.gate.data + row * operands.gate.row_stride + column);
    const Elements up = *reinterpret_cast<const Elements*>(operands.up.data + row * operands.up.row_stride + column);
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      const float open = activate<kActivation>(__bfloat162float(gate.values[j]));
      gate.values[j] = __float2bfloat16_rn(open * __bfloat162float(up.values[j]));
    }
    *reinterpret_cast<Elements*>(operands.y.data + row * operands.y.row_stride + column) = gate;
  }
}

}  // namespace vitgraph::kernels::smxx
