// y = min(max(x, low), high).
#include "kernels/smxx/clamp/clamp.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch clamp_step(const StepContext& at) {
  using namespace operands::clamp;
  const kernels::smxx::ClampOperands operands{at.view<const Bf16>(X), at.view<Bf16>(Y), at.weight(LOW).data,
                                              at.weight(HIGH).data,   at.rows(Y),       at.columns(Y)};
  return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_clamp(launch, operands); };
}

}  // namespace vitgraph::cuda
