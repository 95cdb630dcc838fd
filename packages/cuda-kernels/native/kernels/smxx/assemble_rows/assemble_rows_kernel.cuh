// y[i] = index[i] < 0 ? learned[−1 − index[i]] : x[index[i]].
//
// Template    kSize: elements per thread and step, 8 (16 bytes) or 1.
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads.
// Shared      none.
// Assumes     columns and row strides are multiples of kSize, rows aligned to 2 · kSize bytes.
// Numerics    none: elements are copied.
#pragma once

#include "kernels/smxx/assemble_rows/assemble_rows.h"
#include "kernels/smxx/common/vector_walk.cuh"

namespace vitgraph::kernels::smxx {

template <int kSize>
__global__ void __launch_bounds__(256) assemble_rows_kernel(const AssembleRowsOperands operands) {
  using Elements = Vector<Bf16, kSize>;
  await_previous_kernels();
  for_each_vector<kSize>(operands.rows, operands.columns, [&](std::int64_t row, std::int64_t column) {
    const std::int64_t named = __ldg(operands.index + row);
    const Bf16* from = named < 0 ? operands.learned.data + (-1 - named) * operands.learned.row_stride
                                 : operands.x.data + named * operands.x.row_stride;
    *reinterpret_cast<Elements*>(operands.y.data + row * operands.y.row_stride + column) =
        *reinterpret_cast<const Elements*>(from + column);
  });
}

}  // namespace vitgraph::kernels::smxx
