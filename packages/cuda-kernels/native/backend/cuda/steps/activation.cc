// y = activation(x).
#include "kernels/smxx/activation/activation.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch activation_step(const StepContext& at) {
  using namespace operands::activation;
  const kernels::smxx::ActivationOperands operands{at.view<const Bf16>(X), at.view<Bf16>(Y), at.rows(Y), at.columns(Y)};
  return [operands, function = at.activation(0)](const kernels::Launch& launch) {
    return kernels::smxx::launch_activation(launch, operands, function);
  };
}

}  // namespace vitgraph::cuda
