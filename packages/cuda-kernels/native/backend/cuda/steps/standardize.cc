// y = (x · factor − shift) · scale for each column.
#include "kernels/smxx/standardize/standardize.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch standardize_step(const StepContext& at) {
  using namespace operands::standardize;
  const kernels::smxx::StandardizeOperands operands{
      at.view<const Bf16>(X), at.view<Bf16>(Y), at.weight(SHIFT).data, at.weight(SCALE).data, at.rows(Y),
      at.columns(Y),          at.number(0)};
  return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_standardize(launch, operands); };
}

}  // namespace vitgraph::cuda
