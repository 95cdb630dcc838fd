#include "backend/cuda/step.h"

#include <array>

#include "common/error.h"

namespace vitgraph::cuda {

StepMaker step_maker(Kernel kernel) {
  struct Row {
    Kernel kernel;
    StepMaker make;
  };
  static constexpr auto table = std::to_array<Row>({
      {Kernel::unpack_patches, unpack_patches_step},
      {Kernel::linear, linear_step},
      {Kernel::linear_rope, linear_rope_step},
      {Kernel::layernorm, layernorm_step},
      {Kernel::activation, activation_step},
      {Kernel::add, add_step},
      {Kernel::interpolate_rows, interpolate_rows_step},
      {Kernel::rope, rope_step},
      {Kernel::rope_qk, rope_qk_step},
      {Kernel::attention, attention_step},
      {Kernel::rmsnorm, rmsnorm_step},
      {Kernel::gate, gate_step},
      {Kernel::gather_rows, gather_rows_step},
      {Kernel::scatter_rows, scatter_rows_step},
      {Kernel::linear_gather_rows, linear_gather_rows_step},
      {Kernel::mean_groups, mean_groups_step},
      {Kernel::linear_statistics, linear_statistics_step},
      {Kernel::linear_norm, linear_norm_step},
      {Kernel::linear_norm_rope, linear_norm_rope_step},
      {Kernel::assemble_rows, assemble_rows_step},
      {Kernel::rmsnorm_groups, rmsnorm_groups_step},
      {Kernel::clamp, clamp_step},
      {Kernel::standardize, standardize_step},
  });
  static_assert(in_kernel_order(table));
  return table[static_cast<std::size_t>(kernel)].make;
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
