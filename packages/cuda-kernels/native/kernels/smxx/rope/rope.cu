// Launches rope and rope_qk, which differ in the number of rotated heads per row, and rope_pairs.
#include "kernels/smxx/rope/rope.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/rope/rope_kernel.cuh"

namespace vitgraph::kernels::smxx {
namespace {

cudaError_t launch_heads(const Launch& launch, const RopeOperands& operands, int turned_heads, int all_heads) {
  if (operands.heads <= 0 || operands.head_size <= 0 || operands.head_size % 4 != 0 || operands.rows.capacity <= 0) {
    return cudaErrorInvalidValue;
  }
  if (operands.x.data == operands.y.data) {
    if (operands.x.row_stride != operands.y.row_stride) return cudaErrorInvalidValue;
    all_heads = turned_heads;
  }
  const bool vectors = operands.head_size % 8 == 0 && rows_aligned(operands.x, 8) && rows_aligned(operands.y, 8);
  const std::int64_t items = static_cast<std::int64_t>(operands.rows.capacity) * divide_up(all_heads, kHeads) *
                             operands.head_size / (vectors ? 8 : 2);
  return launch_kernel(launch, vectors ? rope_kernel<4> : rope_kernel<1>, walking_grid(launch, items, 256), 256, 0,
                       operands, turned_heads, all_heads);
}

}  // namespace

cudaError_t launch_rope(const Launch& launch, const RopeOperands& operands) {
  return launch_heads(launch, operands, operands.heads, operands.heads);
}

cudaError_t launch_rope_qk(const Launch& launch, const RopeOperands& operands) {
  return launch_heads(launch, operands, 2 * operands.heads, 3 * operands.heads);
}

cudaError_t launch_rope_pairs(const Launch& launch, const LinearRotation& rotation, const View<Bf16>& y,
                              const Rows& rows) {
  if (rotation.head_size <= 0 || rotation.head_size % 8 != 0 || rotation.columns % rotation.head_size != 0 ||
      !rows_aligned(y, 16) || rows.capacity <= 0) {
    return cudaErrorInvalidValue;
  }
  const std::int64_t items = static_cast<std::int64_t>(rows.capacity) * rotation.columns / 8;
  return launch_kernel(launch, rope_pairs_kernel, walking_grid(launch, items, 256), 256, 0, rotation, y, rows);
}

}  // namespace vitgraph::kernels::smxx
