// Rows of a matrix and learned rows, in the order of an index.
#include "kernels/smxx/assemble_rows/assemble_rows.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch assemble_rows_step(const StepContext& at) {
  using namespace operands::assemble_rows;
  const kernels::smxx::AssembleRowsOperands operands{
      at.view<const Bf16>(X), at.weight(LEARNED), at.data<const std::int32_t>(INDEX),
      at.view<Bf16>(Y),       at.rows(Y),         at.columns(Y)};
  return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_assemble_rows(launch, operands); };
}

}  // namespace vitgraph::cuda
