// Launches mean_groups, with 8 elements per thread and step, or 1.
#include "kernels/smxx/mean_groups/mean_groups.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/mean_groups/mean_groups_kernel.cuh"

namespace vitgraph::kernels::smxx {

cudaError_t launch_mean_groups(const Launch& launch, const MeanGroupsOperands& operands) {
  if (operands.columns <= 0 || operands.groups <= 0 || operands.rows.capacity <= 0) return cudaErrorInvalidValue;
  const bool vectors = operands.columns % 8 == 0 && rows_aligned(operands.x, 16) && rows_aligned(operands.y, 16);
  const std::int64_t items = static_cast<std::int64_t>(operands.rows.capacity) * operands.columns / (vectors ? 8 : 1);
  return launch_kernel(launch, vectors ? mean_groups_kernel<8> : mean_groups_kernel<1>,
                       walking_grid(launch, items, 256), 256, 0, operands);
}

}  // namespace vitgraph::kernels::smxx
