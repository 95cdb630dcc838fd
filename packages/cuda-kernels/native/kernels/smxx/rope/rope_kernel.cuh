// Two-dimensional RoPE.
//
// rope_kernel         in place or from x to y; pair i of a head is its columns (i, i + head_size / 2).
// rope_pairs_kernel   in place; pair i is the columns (2 i, 2 i + 1). A thread rotates four pairs (16 bytes) per step.
//
// Template    kPairs: pairs that a thread rotates per step and head: 4 (8 bytes of each half) or 1.
// Grid        one wave of blocks, with a grid-stride loop over the real rows.
// Block       256 threads. A thread rotates the same pairs of kHeads heads, so that their cosines and sines are
//             read once and eight loads are in flight at once.
// Shared      none.
// Assumes     head_size / 2 is a multiple of kPairs; rows of x and y aligned to 2 · kPairs bytes.
// Numerics    f32 between the bf16 loads and stores. Cosines and sines are f32, computed by the host.
#pragma once

#include "kernels/common/linear_epilogue.cuh"
#include "kernels/smxx/rope/rope.h"

namespace vitgraph::kernels::smxx {

inline constexpr int kHeads = 4;

/// Rotates the first `turned_heads` heads of a row, and copies the others up to `all_heads`.
template <int kPairs>
__global__ void __launch_bounds__(256) rope_kernel(const RopeOperands operands, int turned_heads, int all_heads) {
  using Elements = Vector<Bf16, kPairs>;
  await_previous_kernels();
  const std::uint32_t half = operands.head_size / 2;
  const std::uint32_t quarter = operands.head_size / 4;
  const std::uint32_t head_groups = half / kPairs;
  const std::uint32_t head_stride = divide_up(all_heads, kHeads);
  const std::uint32_t row_groups = head_groups * head_stride;
  const std::int64_t all = static_cast<std::int64_t>(real_rows(operands.rows)) * row_groups;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < all; i += step) {
    const std::int64_t row = all >> 31 == 0 ? static_cast<std::uint32_t>(i) / row_groups : i / row_groups;
    const std::uint32_t group = static_cast<std::uint32_t>(i - row * row_groups);
    const std::uint32_t first_head = group / head_groups;
    const std::uint32_t pair = (group - first_head * head_groups) * kPairs;
    const std::int64_t column = first_head * operands.head_size + pair;
    const Bf16* x = operands.x.data + row * operands.x.row_stride + column;
    Bf16* y = operands.y.data + row * operands.y.row_stride + column;
    const std::uint32_t next_head = head_stride * operands.head_size;
    Elements first[kHeads];
    Elements second[kHeads];
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      if (static_cast<int>(first_head + h * head_stride) >= all_heads) break;
      first[h] = *reinterpret_cast<const Elements*>(x + h * next_head);
      second[h] = *reinterpret_cast<const Elements*>(x + h * next_head + half);
    }
    const std::int32_t* position = operands.positions.data + row * operands.positions.row_stride;
    const float* by_row = operands.angles.data + __ldg(position) * operands.angles.row_stride;
    const float* by_column = operands.angles.data + __ldg(position + 1) * operands.angles.row_stride - quarter;
    float cosines[kPairs];
    float sines[kPairs];
#pragma unroll
    for (int j = 0; j < kPairs; ++j) {
      const float* angle = (pair + j < quarter ? by_row : by_column) + pair + j;
      cosines[j] = __ldg(angle);
      sines[j] = __ldg(angle + quarter);
    }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      const int head = static_cast<int>(first_head + h * head_stride);
      if (head >= all_heads) break;
      if (head < turned_heads) {
#pragma unroll
        for (int j = 0; j < kPairs; ++j) {
          const float a = __bfloat162float(first[h].values[j]);
          const float b = __bfloat162float(second[h].values[j]);
          first[h].values[j] = __float2bfloat16_rn(a * cosines[j] - b * sines[j]);
          second[h].values[j] = __float2bfloat16_rn(b * cosines[j] + a * sines[j]);
        }
      }
      *reinterpret_cast<Elements*>(y + h * next_head) = first[h];
      *reinterpret_cast<Elements*>(y + h * next_head + half) = second[h];
    }
  }
}

__global__ void __launch_bounds__(256) rope_pairs_kernel(LinearRotation rotation, View<Bf16> y, Rows rows) {
  await_previous_kernels();
  const int row_items = rotation.columns / 8;
  const std::int64_t all = static_cast<std::int64_t>(real_rows(rows)) * row_items;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < all; i += step) {
    const int row = static_cast<int>(i / row_items);
    const int column = static_cast<int>(i % row_items) * 8;
    const RowTurns turns = find_turns(rotation, row, true);
    const int pair = column % rotation.head_size / 2;
    auto* at = reinterpret_cast<uint4*>(y.data + row * y.row_stride + column);
    uint4 words = *at;
    turn_pairs(rotation, turns, pair, words.x, words.y);
    turn_pairs(rotation, turns, pair + 2, words.z, words.w);
    *at = words;
  }
}

}  // namespace vitgraph::kernels::smxx
