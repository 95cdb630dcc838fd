// Layer normalisation: y = (x - mean) / sqrt(variance + epsilon) · weight + bias over each row.
//
// layernorm_kernel      reads a row once and keeps it in registers for both sums and the result.
//   Template    kRowThreads: threads that share a row, 32 or the whole block. kVectors: 16-byte vectors per thread.
//   Grid        one wave of blocks, with a grid-stride loop over the real rows.
//   Block       256 threads if a warp computes a row, else kRowThreads.
//   Shared      one float per warp, if several warps share a row.
//   Assumes     columns ≤ 8 · kRowThreads · kVectors and a multiple of 8; rows, weight and bias aligned to 16 bytes.
// layernorm_any_kernel  any column count and alignment; 128 threads per row, which is read three times.
// Numerics    f32. The variance is the mean squared distance from the mean: a difference of mean squares would cancel.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/smxx/common/norm_launch.h"
#include "kernels/smxx/common/row_sum.cuh"
#include "kernels/smxx/layernorm/layernorm.h"

namespace vitgraph::kernels::smxx {

template <int kRowThreads, int kVectors>
__global__ void __launch_bounds__(kRowThreads == 32 ? 256 : kRowThreads)
    layernorm_kernel(const LayernormOperands operands) {
  __shared__ float partial[8];
  await_previous_kernels();
  const int rows = real_rows(operands.rows);
  const int block_rows = static_cast<int>(blockDim.x) / kRowThreads;
  const int thread = static_cast<int>(threadIdx.x) % kRowThreads;
  const int vectors = operands.columns / 8;
  const float share = 1.0f / static_cast<float>(operands.columns);
  const auto* weight = reinterpret_cast<const uint4*>(operands.weight);
  const auto* bias = reinterpret_cast<const uint4*>(operands.bias);

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
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      float values[8];
      unpack_bf16(packed[i], values);
#pragma unroll
      for (const float value : values) sum += value;
    }
    const float mean = sum_over_row<kRowThreads>(sum, partial) * share;
    float squares = 0;
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      if (i * kRowThreads + thread >= vectors) continue;
      float values[8];
      unpack_bf16(packed[i], values);
#pragma unroll
      for (const float value : values) squares += (value - mean) * (value - mean);
    }
    const float variance = sum_over_row<kRowThreads>(squares, partial) * share;
    const float scale = 1.0f / sqrtf(variance + operands.epsilon);
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const int at = i * kRowThreads + thread;
      if (at >= vectors) continue;
      float values[8];
      float weights[8];
      float biases[8];
      unpack_bf16(packed[i], values);
      unpack_bf16(__ldg(weight + at), weights);
      unpack_bf16(__ldg(bias + at), biases);
#pragma unroll
      for (int j = 0; j < 8; ++j) values[j] = (values[j] - mean) * scale * weights[j] + biases[j];
      y[at] = pack_bf16(values);
    }
  }
}

__global__ void __launch_bounds__(kAnyRowThreads) layernorm_any_kernel(const LayernormOperands operands) {
  __shared__ float partial[kAnyRowThreads / 32];
  await_previous_kernels();
  const int rows = real_rows(operands.rows);
  const int thread = static_cast<int>(threadIdx.x);
  const float share = 1.0f / static_cast<float>(operands.columns);
  for (int row = static_cast<int>(blockIdx.x); row < rows; row += static_cast<int>(gridDim.x)) {
    const Bf16* x = operands.x.data + row * operands.x.row_stride;
    Bf16* y = operands.y.data + row * operands.y.row_stride;
    float sum = 0;
    for (int i = thread; i < operands.columns; i += kAnyRowThreads) sum += __bfloat162float(x[i]);
    const float mean = sum_over_row<kAnyRowThreads>(sum, partial) * share;
    float squares = 0;
    for (int i = thread; i < operands.columns; i += kAnyRowThreads) {
      const float centred = __bfloat162float(x[i]) - mean;
      squares += centred * centred;
    }
    const float variance = sum_over_row<kAnyRowThreads>(squares, partial) * share;
    const float scale = 1.0f / sqrtf(variance + operands.epsilon);
    for (int i = thread; i < operands.columns; i += kAnyRowThreads) {
      const float normal = (__bfloat162float(x[i]) - mean) * scale;
      y[i] = __float2bfloat16_rn(normal * __bfloat162float(operands.weight[i]) + __bfloat162float(operands.bias[i]));
    }
  }
}

}  // namespace vitgraph::kernels::smxx
