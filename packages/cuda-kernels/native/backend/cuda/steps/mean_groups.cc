// The mean of the groups of columns of a row.
#include "kernels/smxx/mean_groups/mean_groups.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch mean_groups_step(const StepContext& at) {
  using namespace operands::mean_groups;
  const kernels::smxx::MeanGroupsOperands operands{at.view<const Bf16>(X), at.view<Bf16>(Y), at.rows(Y), at.columns(Y),
                                                   at.columns(X) / at.columns(Y)};
  return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_mean_groups(launch, operands); };
}

}  // namespace vitgraph::cuda
