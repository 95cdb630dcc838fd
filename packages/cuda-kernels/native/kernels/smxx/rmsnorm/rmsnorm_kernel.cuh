// Root-mean-square normalisation: y = x / sqrt(mean of x² + epsilon) · (weight + weight_offset) over each row.
//
// rmsnorm_kernel      reads a row once and keeps it in registers for the sum and the result.
//   Template    kRowThreads: threads that share a row, 32 or the whole block. kVectors: 16-byte vectors per thread.
//   Grid        one wave of blocks, with a grid-stride loop over the real rows.
//   Block       256 threads if a warp computes a row, else kRowThreads.
//   Shared      one float per warp, if several warps share a row.
//   Assumes     columns ≤ 8 · kRowThreads · kVectors and a multiple of 8; rows and weight aligned to 16 bytes.
// rmsnorm_any_kernel  any column count and alignment; 128 threads per row, which is read twice.
// Numerics    f32, rounded once: the normalised value is not rounded to bf16 before the multiplication by the weight.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/smxx/common/norm_launch.h"
#include "kernels/smxx/common/row_sum.cuh"
#include "kernels/smxx/rmsnorm/rmsnorm.h"

namespace vitgraph::kernels::smxx {

template <int kRowThreads, int kVectors>
__global__ void __launch_bounds__(kRowThreads == 32 ? 256 : kRowThreads)
    rmsnorm_kernel(const RmsnormOperands operands) {
  __shared__ float partial[8];
  await_previous_kernels();
  const int rows = real_rows(operands.rows);
  const int block_rows = static_cast<int>(blockDim.x) / kRowThreads;
  const int thread = static_cast<int>(threadIdx.x) % kRowThreads;
  const int vectors = operands.columns / 8;
  const float share = 1.0f / static_cast<float>(operands.columns);
  const auto* weight = reinterpret_cast<const uint4*>(operands.weight);

  for (int row = static_cast<int>(blockIdx.x) * block_rows + static_cast<int>(threadIdx.x) / kRowThreads; row < rows;
       row += static_cast<int>(gridDim.x) * block_rows) {
    const auto* x = reinterpret_cast<const uint4*>(operands.x.data + row * operands.x.row_stride);
    auto* y = reinterpret_cast<uint4*>(operands.y.data + row * operands.y.row_stride);
    uint4 packed[kVectors];
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const int at = i * kRowThreads + thread;
      packed[i] = at < vectors ? x[at] : uint4{};
    }
    float squares = 0;
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      float values[8];
      unpack_bf16(packed[i], values);
#pragma unroll
      for (const float value : values) squares += value * value;
    }
    const float scale = 1.0f / sqrtf(sum_over_row<kRowThreads>(squares, partial) * share + operands.epsilon);
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const int at = i * kRowThreads + thread;
      if (at >= vectors) continue;
      float values[8];
      float weights[8];
      unpack_bf16(packed[i], values);
      unpack_bf16(__ldg(weight + at), weights);
#pragma unroll
      for (int j = 0; j < 8; ++j) values[j] = values[j] * scale * (weights[j] + operands.weight_offset);
      y[at] = pack_bf16(values);
    }
  }
}

__global__ void __launch_bounds__(kAnyRowThreads) rmsnorm_any_kernel(const RmsnormOperands operands) {
  __shared__ float partial[kAnyRowThreads / 32];
  await_previous_kernels();
  const int rows = real_rows(operands.rows);
  const int thread = static_cast<int>(threadIdx.x);
  const float share = 1.0f / static_cast<float>(operands.columns);
  for (int row = static_cast<int>(blockIdx.x); row < rows; row += static_cast<int>(gridDim.x)) {
    const Bf16* x = operands.x.data + row * operands.x.row_stride;
    Bf16* y = operands.y.data + row * operands.y.row_stride;
    float squares = 0;
    for (int i = thread; i < operands.columns; i += kAnyRowThreads) {
      const float value = __bfloat162float(x[i]);
      squares += value * value;
    }
    const float scale = 1.0f / sqrtf(sum_over_row<kAnyRowThreads>(squares, partial) * share + operands.epsilon);
    for (int i = thread; i < operands.columns; i += kAnyRowThreads) {
      const float weight = __bfloat162float(operands.weight[i]) + operands.weight_offset;
      y[i] = __float2bfloat16_rn(__bfloat162float(x[i]) * scale * weight);
    }
  }
}

}  // namespace vitgraph::kernels::smxx
