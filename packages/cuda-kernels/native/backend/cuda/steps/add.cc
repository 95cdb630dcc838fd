// y = a + b.
#include "kernels/smxx/add/add.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch add_step(const StepContext& at) {
  using namespace operands::add;
  const kernels::smxx::AddOperands operands{at.view<const Bf16>(A), at.view<const Bf16>(B), at.view<Bf16>(Y),
                                            at.rows(Y), at.columns(Y)};
  return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_add(launch, operands); };
}

}  // namespace vitgraph::cuda
