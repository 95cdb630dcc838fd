// Selects a norm's kernel: one warp per row up to 2048 columns, 128 threads per row up to 8192, and the kernel for any
// shape otherwise. Host code.
//
// Norm        has the type Operands, and returns its kernels by in_registers<kRowThreads, kVectors>() and any().
#pragma once

#include "kernels/common/rows.h"

namespace vitgraph::kernels::smxx {

inline constexpr int kAnyRowThreads = 128;

template <typename Norm, int kRowThreads, int kVectors>
cudaError_t launch_norm_in_registers(const Launch& launch, const typename Norm::Operands& operands) {
  constexpr int kThreads = kRowThreads == 32 ? 256 : kRowThreads;
  const dim3 grid = walking_grid(launch, operands.rows.capacity, kThreads / kRowThreads, kThreads);
  return launch_kernel(launch, Norm::template in_registers<kRowThreads, kVectors>(), grid, kThreads, 0, operands);
}

template <typename Norm, int kRowThreads>
cudaError_t launch_norm_vectors(const Launch& launch, const typename Norm::Operands& operands) {
  switch (divide_up(operands.columns, 8 * kRowThreads)) {
    case 1: return launch_norm_in_registers<Norm, kRowThreads, 1>(launch, operands);
    case 2: return launch_norm_in_registers<Norm, kRowThreads, 2>(launch, operands);
    case 3: return launch_norm_in_registers<Norm, kRowThreads, 3>(launch, operands);
    case 4: return launch_norm_in_registers<Norm, kRowThreads, 4>(launch, operands);
    case 5: return launch_norm_in_registers<Norm, kRowThreads, 5>(launch, operands);
    case 6: return launch_norm_in_registers<Norm, kRowThreads, 6>(launch, operands);
    default: return launch_norm_in_registers<Norm, kRowThreads, 8>(launch, operands);
  }
}

/// `weights_aligned`: the norm's weight and bias vectors are aligned to 16 bytes.
template <typename Norm>
cudaError_t launch_norm(const Launch& launch, const typename Norm::Operands& operands, bool weights_aligned) {
  if (operands.columns <= 0 || operands.rows.capacity <= 0) return cudaErrorInvalidValue;
  const bool vectors =
      operands.columns % 8 == 0 && rows_aligned(operands.x, 16) && rows_aligned(operands.y, 16) && weights_aligned;
  if (vectors && operands.columns <= 2048) return launch_norm_vectors<Norm, 32>(launch, operands);
  if (vectors && operands.columns <= 8192) return launch_norm_vectors<Norm, 128>(launch, operands);
  const dim3 grid = walking_grid(launch, operands.rows.capacity, 1, kAnyRowThreads);
  return launch_kernel(launch, Norm::any(), grid, kAnyRowThreads, 0, operands);
}

}  // namespace vitgraph::kernels::smxx
