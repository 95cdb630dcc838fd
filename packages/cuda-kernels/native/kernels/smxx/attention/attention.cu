// Launches the portable attention kernel: one instance per head size.
#include "kernels/smxx/attention/attention.h"

#include "kernels/smxx/attention/attention_kernel.cuh"

namespace vitgraph::kernels::smxx {
namespace {

template <int kHeadSize>
cudaError_t launch_head_size(const Launch& launch, const AttentionOperands& operands) {
  using Shape = AttentionShape<kHeadSize, 2>;
  static_assert(Shape::kTileRows == kAttentionTileRows);
  const auto kernel = attention_kernel<Shape>;
  if (const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                     static_cast<int>(Shape::kSharedBytes))) {
    return error;
  }
  const dim3 grid(static_cast<unsigned>(operands.tile_count.capacity) * static_cast<unsigned>(operands.heads));
  return launch_kernel(launch, kernel, grid, Shape::kThreads, Shape::kSharedBytes, operands);
}

}  // namespace

cudaError_t launch_attention(const Launch& launch, const AttentionOperands& operands) {
  const bool aligned = rows_aligned(operands.q, 16) && rows_aligned(operands.k, 16) && rows_aligned(operands.v, 16) &&
                       rows_aligned(operands.y, 4);
  if (!aligned || operands.heads <= 0 || operands.tile_count.capacity <= 0) return cudaErrorInvalidValue;
  switch (operands.head_size) {
    case 64: return launch_head_size<64>(launch, operands);
    case 72: return launch_head_size<72>(launch, operands);
    case 80: return launch_head_size<80>(launch, operands);
    case 96: return launch_head_size<96>(launch, operands);
    case 128: return launch_head_size<128>(launch, operands);
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace vitgraph::kernels::smxx
