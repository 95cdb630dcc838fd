// Launches standardize.
#include "kernels/smxx/standardize/standardize.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/standardize/standardize_kernel.cuh"

namespace vitgraph::kernels::smxx {

cudaError_t launch_standardize(const Launch& launch, const StandardizeOperands& operands) {
  if (operands.columns <= 0 || operands.rows.capacity <= 0) return cudaErrorInvalidValue;
  const std::int64_t items = static_cast<std::int64_t>(operands.rows.capacity) * operands.columns;
  return launch_kernel(launch, standardize_kernel, walking_grid(launch, items, 256), 256, 0, operands);
}

}  // namespace vitgraph::kernels::smxx
