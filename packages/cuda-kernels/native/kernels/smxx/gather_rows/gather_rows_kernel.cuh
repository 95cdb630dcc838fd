// Copies rows with an index on one side: y[i] = x[index[i]] or y[index[i]] = x[i].
//
// Template    kSide: the indexed side; Word: the type that a thread copies per step, 16, 4 or 2 bytes.
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads.
// Shared      none.
// Assumes     rows and their strides are multiples of the word.
// Numerics    none: bits are copied.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/smxx/gather_rows/gather_rows.h"

namespace vitgraph::kernels::smxx {

enum class Indexed { x, y };

template <Indexed kSide, typename Word>
__global__ void __launch_bounds__(256) gather_rows_kernel(const IndexedRowsOperands operands) {
  await_previous_kernels();
  const std::int64_t words = operands.row_bytes / static_cast<int>(sizeof(Word));
  const std::int64_t all = real_rows(operands.rows) * words;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < all; i += step) {
    // 32-bit division if possible: a 64-bit division takes longer than the memory accesses.
    const std::int64_t row =
        all >> 31 == 0 ? static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(words) : i / words;
    const std::int64_t column = (i - row * words) * static_cast<int>(sizeof(Word));
    const std::int64_t named = __ldg(operands.index + row);
    const std::int64_t from = kSide == Indexed::x ? named : row;
    const std::int64_t to = kSide == Indexed::y ? named : row;
    *reinterpret_cast<Word*>(operands.y.data + to * operands.y.row_stride + column) =
        *reinterpret_cast<const Word*>(operands.x.data + from * operands.x.row_stride + column);
  }
}

}  // namespace vitgraph::kernels::smxx
