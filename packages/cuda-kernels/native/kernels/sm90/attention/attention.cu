// Launches Hopper attention: one shape per head size and tallest tile, chosen by measurement
// (docs/attention-ladder.md).
#include "kernels/sm90/attention/attention.h"

#include "kernels/sm90/attention/launch.cuh"

namespace vitgraph::kernels::sm90 {
namespace {

template <int kHeadSize>
cudaError_t launch_head_size(const Launch& launch, const AttentionOperands& operands, AttentionWork* work,
                             std::int32_t tallest) {
  // A third stage was measured only at 72, whose rows of 144 bytes are the slowest to copy: 4 to 7 % fewer cycles.
  constexpr int kStages = kHeadSize == 72 ? 3 : 2;
  switch (tallest) {
    case 128: return launch_attention_shape<AttentionShape<kHeadSize, 2, 128, kStages>>(launch, operands, work);
    case 192:
      // Three consumers have 160 registers each: 128 keys do not fit beside the sums of 80 columns, and above 80
      // columns too few keys fit.
      if constexpr (kHeadSize <= 80) {
        return launch_attention_shape<AttentionShape<kHeadSize, 3, kHeadSize <= 72 ? 128 : 112, kStages>>(
            launch, operands, work);
      }
      [[fallthrough]];
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace

cudaError_t launch_attention(const Launch& launch, const AttentionOperands& operands, AttentionWork* work,
                             std::int32_t tallest) {
  const bool aligned = rows_aligned(operands.q, 16) && rows_aligned(operands.k, 16) && rows_aligned(operands.v, 16) &&
                       rows_aligned(operands.y, 16);
  if (!aligned || work == nullptr || operands.heads <= 0 || operands.tile_count.capacity <= 0 ||
      operands.row_capacity <= 0) {
    return cudaErrorInvalidValue;
  }
  switch (operands.head_size) {
    case 64: return launch_head_size<64>(launch, operands, work, tallest);
    case 72: return launch_head_size<72>(launch, operands, work, tallest);
    case 80: return launch_head_size<80>(launch, operands, work, tallest);
    case 96: return launch_head_size<96>(launch, operands, work, tallest);
    case 128: return launch_head_size<128>(launch, operands, work, tallest);
    default: return cudaErrorInvalidValue;
  }
}

AttentionTiling attention_tiling(std::int32_t rows, std::int32_t heads, std::int32_t head_size,
                                 std::int32_t multiprocessors) {
  const bool fits = static_cast<std::int64_t>(divide_up(rows, 128)) * heads <= multiprocessors;
  return {.heads = heads,
          .multiprocessors = multiprocessors,
          .tallest = head_size <= 80 && !fits ? 192 : 128,
          .shortest = 64};
}

}  // namespace vitgraph::kernels::sm90
