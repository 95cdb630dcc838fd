// Launches rmsnorm_groups: one warp per group.
#include "kernels/smxx/rmsnorm_groups/rmsnorm_groups.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/rmsnorm_groups/rmsnorm_groups_kernel.cuh"

namespace vitgraph::kernels::smxx {

cudaError_t launch_rmsnorm_groups(const Launch& launch, const RmsnormGroupsOperands& operands) {
  if (operands.columns <= 0 || operands.groups <= 0 || operands.rows.capacity <= 0) return cudaErrorInvalidValue;
  const std::int64_t groups = static_cast<std::int64_t>(operands.rows.capacity) * operands.groups;
  return launch_kernel(launch, rmsnorm_groups_kernel, walking_grid(launch, groups, 8), 256, 0, operands);
}

}  // namespace vitgraph::kernels::smxx
