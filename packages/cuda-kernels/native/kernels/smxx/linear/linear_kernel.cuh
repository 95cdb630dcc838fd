// y = activation(x · weightᵀ + bias) + residual, or its rotation, for compute capability 8.0 and newer.
//
// Template    kActivation; kVectors: whether rows are read and written 16 bytes at a time; kRotate.
// Grid        x: tiles of columns, y: tiles of rows of the capacity; blocks beyond the real rows exit at once.
// Block       256 threads: 2 × 4 warps, each with 64 × 32 of the 128 × 128 tile.
// Shared      kStages steps of 32 of x and weight, 48 KiB, in rows of 64 bytes. Their 16-byte units are permuted so
//             that the 8 rows of a matrix are in different banks.
// Assumes     with kVectors: columns a multiple of 8, rows aligned to 16 bytes, bias to 4.
// Numerics    bf16 products with f32 sums; see linear_epilogue.cuh for the rest. Padding rows of a tile are
//             read as zeros.
#pragma once

#include "kernels/common/linear_epilogue.cuh"
#include "kernels/smxx/common/mma.cuh"
#include "kernels/smxx/linear/linear.h"

namespace vitgraph::kernels::smxx {

struct LinearShape {
  static constexpr int kThreads = 256;
  static constexpr int kTile = 128;
  static constexpr int kStep = 32;
  static constexpr int kStages = 3;
  static constexpr int kTileBytes = kTile * kStep * sizeof(Bf16);
  static constexpr int kSharedBytes = 2 * kStages * kTileBytes;
};

/// Address of 16-byte unit `unit` of a row of 64 bytes.
__device__ __forceinline__ std::uint32_t unit_offset(int row, int unit) {
  return row * 64 + (unit ^ (row / 2 % 4)) * 16;
}

/// Starts copying a step of 128 rows; zeros beyond `rows` and `inner`.
template <bool kVectors>
__device__ __forceinline__ void copy_step(unsigned char* to, const View<const Bf16>& from, int first, int rows, int k,
                                          int inner) {
#pragma unroll
  for (int i = 0; i < LinearShape::kTile * 4 / LinearShape::kThreads; ++i) {
    const int at = i * LinearShape::kThreads + static_cast<int>(threadIdx.x);
    const int row = at / 4;
    const int column = k + at % 4 * 8;
    const bool real = first + row < rows;
    const Bf16* source = from.data + static_cast<std::int64_t>(real ? first + row : 0) * from.row_stride;
    unsigned char* unit = to + unit_offset(row, at % 4);
    if constexpr (kVectors) {
      const int elements = real ? min(max(inner - column, 0), 8) : 0;
      copy_16_async(shared_address(unit), source + (elements > 0 ? column : 0),
                    elements * static_cast<int>(sizeof(Bf16)));
    } else {
      auto* elements = reinterpret_cast<Bf16*>(unit);
      for (int j = 0; j < 8; ++j) {
        elements[j] = real && column + j < inner ? source[column + j] : __float2bfloat16_rn(0);
      }
    }
  }
}

template <Activation kActivation, bool kVectors, bool kRotate = false>
__global__ void __launch_bounds__(LinearShape::kThreads) linear_kernel(const LinearOperands operands) {
  using Shape = LinearShape;
  await_previous_kernels();
  const int rows = real_rows(operands.rows);
  const int first_row = static_cast<int>(blockIdx.y) * Shape::kTile;
  const int first_column = static_cast<int>(blockIdx.x) * Shape::kTile;
  if (first_row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp_row = static_cast<int>(threadIdx.x) / 128 * 64;
  const int warp_column = static_cast<int>(threadIdx.x) / 32 % 4 * 32;

  extern __shared__ __align__(128) unsigned char shared[];
  unsigned char* const weights = shared + Shape::kStages * Shape::kTileBytes;
  const int steps = divide_up(operands.inner, Shape::kStep);
  const auto copy = [&](int step) {
    if (step < steps) {
      const int buffer = step % Shape::kStages * Shape::kTileBytes;
      copy_step<kVectors>(shared + buffer, operands.x, first_row, rows, step * Shape::kStep, operands.inner);
      copy_step<kVectors>(weights + buffer, operands.weight, first_column, operands.columns, step * Shape::kStep,
                          operands.inner);
    }
    commit_copies();
  };
#pragma unroll
  for (int step = 0; step < Shape::kStages - 1; ++step) copy(step);

  const int column = first_column + warp_column;
  float sums[4][4][4];
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    const float2 bias = load_bias<kVectors>(operands, column + 8 * n);
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      sums[m][n][0] = sums[m][n][2] = bias.x;
      sums[m][n][1] = sums[m][n][3] = bias.y;
    }
  }
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<Shape::kStages - 2>();
    __syncthreads();
    copy(step + Shape::kStages - 1);
    const std::uint32_t x_shared = shared_address(shared) + step % Shape::kStages * Shape::kTileBytes;
    const std::uint32_t weight_shared = x_shared + Shape::kStages * Shape::kTileBytes;
#pragma unroll
    for (int k = 0; k < Shape::kStep / 16; ++k) {
      std::uint32_t a[4][4];
      std::uint32_t b[2][4];
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        load_matrices(a[m], x_shared + unit_offset(warp_row + m * 16 + lane % 16, k * 2 + lane / 16));
      }
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const int row = warp_column + n * 16 + lane % 8 + lane / 16 * 8;
        load_matrices(b[n], weight_shared + unit_offset(row, k * 2 + lane / 8 % 2));
      }
#pragma unroll
      for (int m = 0; m < 4; ++m) {
#pragma unroll
        for (int n = 0; n < 4; ++n) multiply_add(sums[m][n], a[m], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
      }
    }
  }

#pragma unroll
  for (int m = 0; m < 4; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + warp_row + m * 16 + half * 8 + lane / 4;
      float of_row[1][8];
#pragma unroll
      for (int i = 0; i < 8; ++i) of_row[0][i] = sums[m][i / 2][2 * half + i % 2];
      const RowTurns turns = kRotate ? find_turns(operands.rotation, row, row < rows) : RowTurns{};
      finish_row<kActivation, kVectors, kRotate>(operands, row, row < rows, column, operands.columns, of_row, turns);
    }
  }
}

}  // namespace vitgraph::kernels::smxx
