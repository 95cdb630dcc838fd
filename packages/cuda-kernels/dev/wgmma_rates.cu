// What one wgmma costs, in cycles of a multiprocessor, by shape: the arithmetic behind the attention ladder.
//
//   wgmma_rates    a line a shape: cycles for one product with one, two and three warpgroups, and what they would be at
//                  the full rate (8 columns in 4 cycles)
#include "harness.h"
#include "kernels/sm90/common/barrier.cuh"
#include "kernels/sm90/common/wgmma.cuh"

namespace vitgraph::dev {
namespace {

using namespace kernels::sm90;  // NOLINT

constexpr int kRounds = 200;

enum class Kind { shared, registers };

/// As in attention: groups of 8 products into the same sums.
template <Kind kKind, int kColumns, int kRowBytes>
__device__ long long time_products(std::uint32_t tensors) {
  const std::uint64_t a = matrix_descriptor(tensors, 64);
  const std::uint64_t b = matrix_descriptor(tensors + 32768, kRowBytes, 128 * kRowBytes);
  float sums[kColumns / 2] = {};
  std::uint32_t weights[32] = {};
  pin_registers(weights);
  const long long start = clock64();
  for (int round = 0; round < kRounds; ++round) {
    products_fence();
    pin_registers(sums);
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      if constexpr (kKind == Kind::shared) {
        SharedProduct<kColumns>::add(sums, moved(a, k * 32), moved(b, k * 32), true);
      } else {
        RegisterProduct<kColumns>::add(sums, weights + 4 * k, moved(b, k * 16 * kRowBytes), true);
      }
    }
    products_commit();
    products_wait<0>();
    pin_registers(sums);
  }
  float sum = 0;
  for (const float value : sums) sum += value;
  const long long cycles = clock64() - start;
  return sum == 12345 ? 0 : cycles;
}

template <Kind kKind, int kColumns, int kRowBytes>
__global__ void __launch_bounds__(384) rate_kernel(long long* cycles) {
  extern __shared__ __align__(1024) unsigned char tensors[];
  for (int i = threadIdx.x; i < 49152; i += blockDim.x) reinterpret_cast<std::uint32_t*>(tensors)[i] = 0;
  fence_shared_writes();
  __syncthreads();
  const long long took = time_products<kKind, kColumns, kRowBytes>(shared_address(tensors));
  if (threadIdx.x == 0) *cycles = took;
}

/// The first warpgroup takes the scores' product, the second that of the sums.
template <int kColumns, int kRowBytes>
__global__ void __launch_bounds__(256) mixed_kernel(long long* cycles) {
  extern __shared__ __align__(1024) unsigned char tensors[];
  for (int i = threadIdx.x; i < 49152; i += blockDim.x) reinterpret_cast<std::uint32_t*>(tensors)[i] = 0;
  fence_shared_writes();
  __syncthreads();
  long long took;
  if (threadIdx.x < 128) {
    took = time_products<Kind::shared, 128, 64>(shared_address(tensors));
  } else {
    took = time_products<Kind::registers, kColumns, kRowBytes>(shared_address(tensors));
  }
  if (threadIdx.x % 128 == 0) cycles[threadIdx.x / 128] = took;
}

template <Kind kKind, int kColumns, int kRowBytes>
void rate(const char* kind) {
  const DeviceBuffer<long long> cycles(2);
  const auto kernel = rate_kernel<kKind, kColumns, kRowBytes>;
  CHECK_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 196608));
  std::printf("%-10s n %3d  rows of %3d bytes  full rate %3d ", kind, kColumns, kRowBytes, kColumns / 2);
  for (const int warpgroups : {1, 2, 3}) {
    for (int run = 0; run < 2; ++run) kernel<<<132, 128 * warpgroups, 196608>>>(cycles.data());
    CHECK_CUDA(cudaDeviceSynchronize());
    std::printf("  %6.1f", static_cast<double>(cycles.download()[0]) / (8.0 * kRounds * warpgroups));
  }
  if constexpr (kKind == Kind::registers) {
    const auto mixed = mixed_kernel<kColumns, kRowBytes>;
    CHECK_CUDA(cudaFuncSetAttribute(mixed, cudaFuncAttributeMaxDynamicSharedMemorySize, 196608));
    for (int run = 0; run < 2; ++run) mixed<<<132, 256, 196608>>>(cycles.data());
    CHECK_CUDA(cudaDeviceSynchronize());
    const auto both = cycles.download();
    std::printf("   beside n 128 from shared: that one %6.1f, this one %6.1f", both[0] / (8.0 * kRounds),
                both[1] / (8.0 * kRounds));
  }
  std::printf("\n");
}

}  // namespace
}  // namespace vitgraph::dev

int main() {
  using namespace vitgraph::dev;
  rate<Kind::shared, 64, 64>("shared");
  rate<Kind::shared, 96, 64>("shared");
  rate<Kind::shared, 112, 64>("shared");
  rate<Kind::shared, 128, 64>("shared");
  rate<Kind::shared, 128, 128>("shared");
  rate<Kind::shared, 160, 64>("shared");
  rate<Kind::shared, 176, 64>("shared");
  rate<Kind::shared, 192, 128>("shared");
  rate<Kind::shared, 256, 128>("shared");
  rate<Kind::registers, 8, 64>("registers");
  rate<Kind::registers, 16, 64>("registers");
  rate<Kind::registers, 64, 64>("registers");
  rate<Kind::registers, 72, 32>("registers");
  rate<Kind::registers, 72, 64>("registers");
  rate<Kind::registers, 72, 128>("registers");
  rate<Kind::registers, 80, 32>("registers");
  rate<Kind::registers, 80, 64>("registers");
  rate<Kind::registers, 80, 128>("registers");
  rate<Kind::registers, 96, 32>("registers");
  rate<Kind::registers, 96, 64>("registers");
  rate<Kind::registers, 128, 64>("registers");
  rate<Kind::registers, 128, 128>("registers");
  return 0;
}
