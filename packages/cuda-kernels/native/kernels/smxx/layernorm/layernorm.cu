// Launches layernorm: a warp a row up to 2048 columns, 128 threads a row up to 8192, and the kernel for any shape.
#include "kernels/smxx/layernorm/layernorm.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/layernorm/layernorm_kernel.cuh"

namespace vitgraph::kernels::smxx {
namespace {

template <int kRowThreads, int kVectors>
cudaError_t launch_in_registers(const Launch& launch, const LayernormOperands& operands) {
  constexpr int kThreads = kRowThreads == 32 ? 256 : kRowThreads;
  const dim3 grid = walking_grid(launch, operands.rows.capacity, kThreads / kRowThreads, kThreads);
  return launch_kernel(launch, layernorm_kernel<kRowThreads, kVectors>, grid, kThreads, 0, operands);
}

template <int kRowThreads>
cudaError_t launch_vectors(const Launch& launch, const LayernormOperands& operands) {
  switch (divide_up(operands.columns, 8 * kRowThreads)) {
    case 1: return launch_in_registers<kRowThreads, 1>(launch, operands);
    case 2: return launch_in_registers<kRowThreads, 2>(launch, operands);
    case 3: return launch_in_registers<kRowThreads, 3>(launch, operands);
    case 4: return launch_in_registers<kRowThreads, 4>(launch, operands);
    case 5: return launch_in_registers<kRowThreads, 5>(launch, operands);
    case 6: return launch_in_registers<kRowThreads, 6>(launch, operands);
    default: return launch_in_registers<kRowThreads, 8>(launch, operands);
  }
}

}  // namespace

cudaError_t launch_layernorm(const Launch& launch, const LayernormOperands& operands) {
  if (operands.columns <= 0 || operands.rows.capacity <= 0) return cudaErrorInvalidValue;
  const bool vectors = operands.columns % 8 == 0 && rows_aligned(operands.x, 16) && rows_aligned(operands.y, 16) &&
                       is_aligned(operands.weight, 16) && is_aligned(operands.bias, 16);
  if (vectors && operands.columns <= 2048) return launch_vectors<32>(launch, operands);
  if (vectors && operands.columns <= 8192) return launch_vectors<128>(launch, operands);
  const dim3 grid = walking_grid(launch, operands.rows.capacity, 1, kAnyRowThreads);
  return launch_kernel(launch, layernorm_any_kernel, grid, kAnyRowThreads, 0, operands);
}

}  // namespace vitgraph::kernels::smxx
