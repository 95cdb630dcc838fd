// A table of learned position embeddings, sampled at each patch.
#include "kernels/smxx/position_embedding/position_embedding.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch position_embedding_step(const StepContext& at) {
  enum { TABLE, POSITIONS, Y };
  const kernels::smxx::PositionEmbeddingOperands operands{
      at.weight(TABLE), at.view<const std::int32_t>(POSITIONS), at.view<Bf16>(Y), at.rows(Y), at.columns(Y), at.count(0)};
  return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_position_embedding(launch, operands); };
}

}  // namespace vitgraph::cuda
