// Launches Hopper attention: one shape a head size and tile height, chosen by measurement (docs/attention-ladder.md).
#include "kernels/sm90/attention/attention.h"

#include "kernels/sm90/attention/launch.cuh"

namespace vitgraph::kernels::sm90 {
namespace {

template <int kHeadSize>
cudaError_t launch_head_size(const Launch& launch, const AttentionOperands& operands, AttentionWork* work,
                             std::int32_t tile_height) {
  // A third stage was measured at 72 alone, whose rows of 144 bytes are the slowest to copy: 4 to 7 % fewer cycles.
  constexpr int kStages = kHeadSize == 72 ? 3 : 2;
  switch (tile_height) {
    case 64:
      return launch_attention_shape<AttentionShape<kHeadSize, 1, kHeadSize <= 96 ? 128 : 64>>(launch, operands, work);
    case 128: return launch_attention_shape<AttentionShape<kHeadSize, 2, 128, kStages>>(launch, operands, work);
    case 192:
      // Three consumers have 160 registers each: 128 keys beside the sums of 80 columns do not fit, and above 80 columns
      // too few keys do.
      if constexpr (kHeadSize <= 80) {
        return launch_attention_shape<AttentionShape<kHeadSize, 3, kHeadSize <= 72 ? 128 : 112, kStages>>(launch, operands,
                                                                                                        work);
      }
      [[fallthrough]];
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace

cudaError_t launch_attention(const Launch& launch, const AttentionOperands& operands, AttentionWork* work,
                             std::int32_t tile_height) {
  const bool aligned = rows_aligned(operands.q, 16) && rows_aligned(operands.k, 16) && rows_aligned(operands.v, 16) &&
                       rows_aligned(operands.y, 4);
  if (!aligned || work == nullptr || operands.heads <= 0 || operands.tile_count.capacity <= 0 ||
      operands.row_capacity <= 0) {
    return cudaErrorInvalidValue;
  }
  switch (operands.head_size) {
    case 64: return launch_head_size<64>(launch, operands, work, tile_height);
    case 72: return launch_head_size<72>(launch, operands, work, tile_height);
    case 80: return launch_head_size<80>(launch, operands, work, tile_height);
    case 96: return launch_head_size<96>(launch, operands, work, tile_height);
    case 128: return launch_head_size<128>(launch, operands, work, tile_height);
    default: return cudaErrorInvalidValue;
  }
}

std::int32_t attention_tile_height(std::int32_t rows, std::int32_t longest_segment, std::int32_t heads,
                                   std::int32_t head_size, std::int32_t multiprocessors) {
  const auto items = [&](std::int32_t height) { return static_cast<std::int64_t>(divide_up(rows, height)) * heads; };
  if (head_size <= 80 && longest_segment > 128 && items(192) >= 2 * multiprocessors) return 192;
  if (longest_segment > 64 && items(128) >= multiprocessors / 2) return 128;
  return 64;
}

}  // namespace vitgraph::kernels::sm90
