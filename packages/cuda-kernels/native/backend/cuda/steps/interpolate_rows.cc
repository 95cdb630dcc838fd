// Weighted sums of a table's rows.
#include "kernels/smxx/interpolate_rows/interpolate_rows.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch interpolate_rows_step(const StepContext& at) {
  using namespace operands::interpolate_rows;
  const kernels::smxx::InterpolateRowsOperands operands{at.weight(TABLE),
                                                        at.data<const std::int32_t>(INDEX),
                                                        at.view<const float>(WEIGHTS),
                                                        at.view<Bf16>(Y),
                                                        at.rows(Y),
                                                        at.columns(Y),
                                                        at.columns(INDEX)};
  return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_interpolate_rows(launch, operands); };
}

}  // namespace vitgraph::cuda
