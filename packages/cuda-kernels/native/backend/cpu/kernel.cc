#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

const KernelEntry& kernel_entry(Kernel kernel) {
  static constexpr auto table = std::to_array<KernelEntry>({
      {Kernel::unpack_patches, unpack_patches, nullptr, nullptr},
      {Kernel::linear, linear, nullptr, linear_scratch_bytes},
      {Kernel::linear_rope, linear_rope, nullptr, linear_scratch_bytes},
      {Kernel::layernorm, layernorm, nullptr, layernorm_scratch_bytes},
      {Kernel::activation, activation, nullptr, nullptr},
      {Kernel::add, add, nullptr, nullptr},
      {Kernel::interpolate_rows, interpolate_rows, nullptr, nullptr},
      {Kernel::rope, rope, nullptr, nullptr},
      {Kernel::rope_qk, rope_qk, nullptr, nullptr},
      {Kernel::attention, attention, attention_workspace_bytes, attention_scratch_bytes},
      {Kernel::rmsnorm, rmsnorm, nullptr, rmsnorm_scratch_bytes},
      {Kernel::gate, gate, nullptr, nullptr},
      {Kernel::gather_rows, gather_rows, nullptr, nullptr},
      {Kernel::scatter_rows, scatter_rows, scatter_rows_workspace_bytes, nullptr},
      {Kernel::linear_gather_rows, linear_gather_rows, nullptr, linear_scratch_bytes},
      {Kernel::mean_groups, mean_groups, nullptr, nullptr},
      {Kernel::linear_statistics, linear_statistics, nullptr, linear_scratch_bytes},
      {Kernel::linear_norm, linear_norm, nullptr, linear_scratch_bytes},
      {Kernel::linear_norm_rope, linear_norm_rope, nullptr, linear_scratch_bytes},
      {Kernel::assemble_rows, assemble_rows, nullptr, nullptr},
      {Kernel::rmsnorm_groups, rmsnorm_groups, nullptr, rmsnorm_groups_scratch_bytes},
      {Kernel::clamp, clamp, nullptr, nullptr},
      {Kernel::standardize, standardize, nullptr, standardize_scratch_bytes},
  });
  static_assert(in_kernel_order(table));
  return table[static_cast<std::size_t>(kernel)];
}

}  // namespace vitgraph::cpu
