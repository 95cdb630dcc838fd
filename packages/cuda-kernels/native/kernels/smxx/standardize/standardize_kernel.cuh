// y = (x · factor − shift) · scale for each column.
//
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads, one element per thread and step: the kernel runs only once per tower, over its tokens.
// Shared      none.
// Numerics    f32, rounded once.
#pragma once

#include "kernels/smxx/common/vector_walk.cuh"
#include "kernels/smxx/standardize/standardize.h"

namespace vitgraph::kernels::smxx {

__global__ void __launch_bounds__(256) standardize_kernel(const StandardizeOperands operands) {
  await_previous_kernels();
  for_each_vector<1>(operands.rows, operands.columns, [&](std::int64_t row, std::int64_t column) {
    const float x = __bfloat162float(operands.x.data[row * operands.x.row_stride + column]);
    const float shift = __bfloat162float(operands.shift[column]);
    const float scale = __bfloat162float(operands.scale[column]);
    operands.y.data[row * operands.y.row_stride + column] = __float2bfloat16_rn((x * operands.factor - shift) * scale);
  });
}

}  // namespace vitgraph::kernels::smxx
