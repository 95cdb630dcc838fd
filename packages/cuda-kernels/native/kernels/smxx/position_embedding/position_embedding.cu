// Launches position_embedding: by eight elements or one by one.
#include "kernels/smxx/position_embedding/position_embedding.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/position_embedding/position_embedding_kernel.cuh"

namespace vitgraph::kernels::smxx {

cudaError_t launch_position_embedding(const Launch& launch, const PositionEmbeddingOperands& operands) {
  if (operands.columns <= 0 || operands.side <= 0 || operands.rows.capacity <= 0) return cudaErrorInvalidValue;
  const bool vectors = operands.columns % 8 == 0 && rows_aligned(operands.table, 16) && rows_aligned(operands.y, 16);
  const auto kernel = vectors ? position_embedding_kernel<8> : position_embedding_kernel<1>;
  return launch_kernel(launch, kernel, walking_grid(launch, operands.rows.capacity, 8), 256, 0, operands);
}

}  // namespace vitgraph::kernels::smxx
