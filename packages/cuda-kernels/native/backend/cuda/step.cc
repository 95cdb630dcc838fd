#include "backend/cuda/step.h"

#include <array>

#include "common/error.h"

namespace vitgraph::cuda {

StepMaker step_maker(Kernel kernel) {
  static constexpr std::array<StepMaker, kKernelCount> table = {
      unpack_patches_step,
      linear_step,
      linear_rope_step,
      layernorm_step,
      activation_step,
      add_step,
      interpolate_rows_step,
      rope_step,
      rope_qk_step,
      attention_step,
      rmsnorm_step,
      gate_step,
      gather_rows_step,
      scatter_rows_step,
      linear_gather_rows_step,
      mean_groups_step,
      linear_statistics_step,
      linear_norm_step,
      linear_norm_rope_step,
  };
  static_assert(table.back() != nullptr, "a kernel has no step maker");
  return table[static_cast<std::size_t>(kernel)];
}

kernels::Rows StepContext::rows(std::size_t operand) const {
  const RowCount rows = buffer(operand).rows;
  const auto* counts = reinterpret_cast<const std::int32_t*>(parts_.control_at);
  return {rows.dim == kNoDim ? nullptr : counts + rows.dim, static_cast<std::int32_t>(rows.plus),
          parts_.memory.row_capacity(rows)};
}

kernels::View<const kernels::Bf16> StepContext::weight(std::size_t operand) const {
  const auto weight = view<const kernels::Bf16>(operand);
  if (weight.data != nullptr && buffer(operand).dtype != DType::bf16) {
    unsupported(std::string("its weight is ") + vitgraph::name_of(buffer(operand).dtype));
  }
  return weight;
}

void StepContext::unsupported(const std::string& fact) const {
  throw Error("VG_PROGRAM_INVALID", name_ + ": " + fact, "use the CPU backend for this model");
}

}  // namespace vitgraph::cuda
