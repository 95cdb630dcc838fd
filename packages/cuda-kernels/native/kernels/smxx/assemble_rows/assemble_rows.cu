// Launches assemble_rows, with 8 elements per thread and step, or 1.
#include "kernels/smxx/assemble_rows/assemble_rows.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/assemble_rows/assemble_rows_kernel.cuh"

namespace vitgraph::kernels::smxx {

cudaError_t launch_assemble_rows(const Launch& launch, const AssembleRowsOperands& operands) {
  if (operands.columns <= 0 || operands.rows.capacity <= 0) return cudaErrorInvalidValue;
  const bool vectors = operands.columns % 8 == 0 && rows_aligned(operands.x, 16) &&
                       rows_aligned(operands.learned, 16) && rows_aligned(operands.y, 16);
  const std::int64_t items = static_cast<std::int64_t>(operands.rows.capacity) * operands.columns / (vectors ? 8 : 1);
  return launch_kernel(launch, vectors ? assemble_rows_kernel<8> : assemble_rows_kernel<1>,
                       walking_grid(launch, items, 256), 256, 0, operands);
}

}  // namespace vitgraph::kernels::smxx
