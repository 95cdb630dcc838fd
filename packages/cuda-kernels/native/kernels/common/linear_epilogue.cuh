// What follows the sums of a linear layer: bias, activation, residual, and the way to memory. The places of sums in
// threads are those of mma.sync and wgmma alike: lane l has columns 8 j + 2 (l mod 4) and the next of row l / 4.
//
// Numerics: all in f32, rounded once at the end.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/common/linear.h"

namespace vitgraph::kernels {

/// Word i of thread t of a quad and word t of thread i change places. With a quad's sums of four blocks of 8 columns, this
/// turns 4 bytes of every block into 16 bytes of one, and back.
__device__ __forceinline__ void transpose_quad(std::uint32_t (&words)[4]) {
  const bool odd = threadIdx.x & 1;
  const bool high = threadIdx.x & 2;
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const std::uint32_t received = __shfl_xor_sync(~0u, odd ? words[i] : words[i + 1], 1);
    words[i] = odd ? received : words[i];
    words[i + 1] = odd ? words[i + 1] : received;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const std::uint32_t received = __shfl_xor_sync(~0u, high ? words[i] : words[i + 2], 2);
    words[i] = high ? received : words[i];
    words[i + 2] = high ? words[i + 2] : received;
  }
}

/// This lane's columns of the bias, for 32 columns from `column` on.
template <bool kVectors>
__device__ __forceinline__ void load_bias(const LinearOperands& operands, int column, float (&bias)[8]) {
  const int first = column + static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int at = first + 8 * j;
    if constexpr (kVectors) {
      const bool real = operands.bias != nullptr && at < operands.columns;
      const float2 pair = real ? unpack_bf16(__ldg(reinterpret_cast<const std::uint32_t*>(operands.bias + at))) : float2{};
      bias[2 * j] = pair.x;
      bias[2 * j + 1] = pair.y;
    } else {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const bool real = operands.bias != nullptr && at + i < operands.columns;
        bias[2 * j + i] = real ? __bfloat162float(operands.bias[at + i]) : 0;
      }
    }
  }
}

/// Finishes 32 columns of a row: `sums` are this lane's columns of four blocks of 8. Called by whole warps.
/// kVectors: columns are a multiple of 8, rows of y and residual start at multiples of 16 bytes, bias at one of 4.
template <Activation kActivation, bool kVectors>
__device__ __forceinline__ void finish_columns(const LinearOperands& operands, int row, bool row_is_real, int column,
                                               const float (&sums)[8], const float (&bias)[8]) {
  const int quad_lane = static_cast<int>(threadIdx.x) % 4;
  float values[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) values[i] = activate<kActivation>(sums[i] + bias[i]);
  const Bf16* residual = operands.residual.data + row * operands.residual.row_stride;
  Bf16* y = operands.y.data + row * operands.y.row_stride;
  if constexpr (kVectors) {
    const int at = column + 8 * quad_lane;
    const bool real = row_is_real && at < operands.columns;
    if (operands.residual.data != nullptr) {
      const uint4 from = real ? *reinterpret_cast<const uint4*>(residual + at) : uint4{};
      std::uint32_t words[4] = {from.x, from.y, from.z, from.w};
      transpose_quad(words);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float2 pair = unpack_bf16(words[j]);
        values[2 * j] += pair.x;
        values[2 * j + 1] += pair.y;
      }
    }
    std::uint32_t words[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) words[j] = pack_bf16(values[2 * j], values[2 * j + 1]);
    transpose_quad(words);
    if (real) *reinterpret_cast<uint4*>(y + at) = uint4{words[0], words[1], words[2], words[3]};
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int at = column + i / 2 * 8 + quad_lane * 2 + i % 2;
      if (!row_is_real || at >= operands.columns) continue;
      const float extra = operands.residual.data == nullptr ? 0 : __bfloat162float(residual[at]);
      y[at] = __float2bfloat16_rn(values[i] + extra);
    }
  }
}

}  // namespace vitgraph::kernels
