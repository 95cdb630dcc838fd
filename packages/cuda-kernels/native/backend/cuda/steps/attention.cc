// softmax(q · kᵀ · scale) · v for each head within each segment.
#include "kernels/smxx/attention/attention.h"

#include <algorithm>

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

namespace {

using namespace operands::attention;

constexpr std::int32_t kHeadSizes[] = {64, 72, 80, 96, 128};
/// What both kernels ask of rows.
constexpr std::size_t kRowAlignment = 16;

}  // namespace

RunControl::TableKey attention_table(const ProgramMemory& memory, const CudaDevice& device,
                                     const Instruction& instruction) {
  const Buffer& q = memory.buffer(instruction.operands[Q]);
  const std::int32_t list = instruction.operands[CU_SEQLENS];
  const std::int32_t rows = memory.row_capacity(q.rows);
  const auto heads = static_cast<std::int32_t>(instruction.scalars[0]);
  const std::int32_t head_size = static_cast<std::int32_t>(q.columns) / heads;
  const std::int32_t multiprocessors = device.properties().multiProcessorCount;
  return {.list = list,
          .tiling = device.is_hopper() ? kernels::sm90::attention_tiling(rows, heads, head_size, multiprocessors)
                                       : kernels::smxx::attention_tiling(heads, multiprocessors),
          .rows = rows,
          .segments = memory.row_capacity(memory.buffer(list).rows) - 1};
}

StepLaunch attention_step(const StepContext& at) {
  const StepParts& parts = at.parts();
  const RunControl::Table table = parts.control.table(attention_table(parts.memory, parts.device, at.instruction()));
  const std::int32_t heads = at.count(0);
  const kernels::AttentionOperands operands{
      .q = at.view<const Bf16>(Q),
      .k = at.view<const Bf16>(K),
      .v = at.view<const Bf16>(V),
      .y = at.view<Bf16>(Y),
      .row_capacity = table.key.rows,
      .heads = heads,
      .head_size = at.columns(Q) / heads,
      .scale = at.number(1),
      .tiles = reinterpret_cast<const kernels::AttentionStrip*>(parts.control_at + table.tiles_at),
      .tile_count = {reinterpret_cast<const std::int32_t*>(parts.control_at + table.count_at), 0,
                     static_cast<std::int32_t>(table.capacity)},
  };
  if (std::find(std::begin(kHeadSizes), std::end(kHeadSizes), operands.head_size) == std::end(kHeadSizes)) {
    at.unsupported("head size " + std::to_string(operands.head_size) + " is none of 64, 72, 80, 96, 128");
  }
  const bool aligned =
      kernels::rows_aligned(operands.q, kRowAlignment) && kernels::rows_aligned(operands.k, kRowAlignment) &&
      kernels::rows_aligned(operands.v, kRowAlignment) && kernels::rows_aligned(operands.y, kRowAlignment);
  if (!aligned) at.unsupported("rows of q, k, v or y do not start at multiples of 16 bytes");
  if (!parts.device.is_hopper()) {
    return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_attention(launch, operands); };
  }
  return [operands, work = parts.attention_work, tallest = table.key.tiling.tallest](const kernels::Launch& launch) {
    return kernels::sm90::launch_attention(launch, operands, work, tallest);
  };
}

}  // namespace vitgraph::cuda
