// y = activation(gate) · up.
#include "kernels/smxx/gate/gate.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch gate_step(const StepContext& at) {
  using namespace operands::gate;
  const kernels::smxx::GateOperands operands{at.view<const Bf16>(GATE), at.view<const Bf16>(UP), at.view<Bf16>(Y),
                                             at.rows(Y), at.columns(Y)};
  return [operands, function = at.activation(0)](const kernels::Launch& launch) {
    return kernels::smxx::launch_gate(launch, operands, function);
  };
}

}  // namespace vitgraph::cuda
