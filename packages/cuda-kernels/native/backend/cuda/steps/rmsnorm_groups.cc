// x / sqrt(mean of x² + epsilon) · weight over each group of columns of a row.
#include "kernels/smxx/rmsnorm_groups/rmsnorm_groups.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch rmsnorm_groups_step(const StepContext& at) {
  using namespace operands::rmsnorm_groups;
  const std::int32_t groups = at.count(0);
  const kernels::smxx::RmsnormGroupsOperands operands{at.view<const Bf16>(X),
                                                      at.view<Bf16>(Y),
                                                      at.weight(WEIGHT).data,
                                                      at.rows(Y),
                                                      at.columns(Y) / groups,
                                                      groups,
                                                      at.number(1)};
  return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_rmsnorm_groups(launch, operands); };
}

}  // namespace vitgraph::cuda
