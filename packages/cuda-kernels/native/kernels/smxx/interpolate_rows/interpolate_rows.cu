// Launches interpolate_rows, with 8 elements per thread and step, or 1.
#include "kernels/smxx/interpolate_rows/interpolate_rows.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/interpolate_rows/interpolate_rows_kernel.cuh"

namespace vitgraph::kernels::smxx {

cudaError_t launch_interpolate_rows(const Launch& launch, const InterpolateRowsOperands& operands) {
  if (operands.columns <= 0 || operands.taps <= 0 || operands.rows.capacity <= 0) return cudaErrorInvalidValue;
  const bool vectors = operands.columns % 8 == 0 && rows_aligned(operands.table, 16) && rows_aligned(operands.y, 16);
  const auto kernel = vectors ? interpolate_rows_kernel<8> : interpolate_rows_kernel<1>;
  return launch_kernel(launch, kernel, walking_grid(launch, operands.rows.capacity, 8), 256, 0, operands);
}

}  // namespace vitgraph::kernels::smxx
