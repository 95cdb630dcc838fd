// A sum over the threads that share a row, for the norms.
#pragma once

namespace vitgraph::kernels::smxx {

/// Returns the sum over the threads of a row to each of them. `partial` has one element per warp of the block.
template <int kRowThreads>
__device__ __forceinline__ float sum_over_row(float value, float* partial) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
  if constexpr (kRowThreads > 32) {
    constexpr int kWarps = kRowThreads / 32;
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
    __syncthreads();
    value = 0;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) value += partial[warp];
    __syncthreads();
  }
  return value;
}

}  // namespace vitgraph::kernels::smxx
