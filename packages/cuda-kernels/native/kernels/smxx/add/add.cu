// Launches add, with 8 elements per thread and step, or 1.
#include "kernels/smxx/add/add.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/add/add_kernel.cuh"

namespace vitgraph::kernels::smxx {

cudaError_t launch_add(const Launch& launch, const AddOperands& operands) {
  if (operands.columns <= 0 || operands.rows.capacity <= 0) return cudaErrorInvalidValue;
  const bool vectors = operands.columns % 8 == 0 && rows_aligned(operands.a, 16) && rows_aligned(operands.b, 16) &&
                       rows_aligned(operands.y, 16);
  const std::int64_t items = static_cast<std::int64_t>(operands.rows.capacity) * operands.columns / (vectors ? 8 : 1);
  return launch_kernel(launch, vectors ? add_kernel<8> : add_kernel<1>, walking_grid(launch, items, 256), 256, 0,
                       operands);
}

}  // namespace vitgraph::kernels::smxx
