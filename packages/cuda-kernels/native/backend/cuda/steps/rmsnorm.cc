// x / sqrt(mean of x² + epsilon) · (weight + offset) over each row.
#include "kernels/smxx/rmsnorm/rmsnorm.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch rmsnorm_step(const StepContext& at) {
  using namespace operands::rmsnorm;
  const kernels::smxx::RmsnormOperands operands{
      at.view<const Bf16>(X), at.view<Bf16>(Y), at.weight(WEIGHT).data, at.rows(Y), at.columns(Y),
      at.number(0),           at.number(1)};
  return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_rmsnorm(launch, operands); };
}

}  // namespace vitgraph::cuda
