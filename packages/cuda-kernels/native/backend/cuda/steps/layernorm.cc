// (x - mean) / sqrt(variance + epsilon) · weight + bias over each row.
#include "kernels/smxx/layernorm/layernorm.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch layernorm_step(const StepContext& at) {
  using namespace operands::layernorm;
  const kernels::smxx::LayernormOperands operands{
      at.view<const Bf16>(X), at.view<Bf16>(Y), at.weight(WEIGHT).data, at.weight(BIAS).data, at.rows(Y),
      at.columns(Y),          at.number(0)};
  return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_layernorm(launch, operands); };
}

}  // namespace vitgraph::cuda
