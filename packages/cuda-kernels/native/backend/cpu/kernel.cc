#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

const KernelEntry& kernel_entry(Kernel kernel) {
  static constexpr std::array<KernelEntry, kKernelCount> table = {{
      {unpack_patches, nullptr, nullptr},
      {linear, nullptr, linear_scratch_bytes},
      {linear_rope, nullptr, linear_scratch_bytes},
      {layernorm, nullptr, layernorm_scratch_bytes},
      {activation, nullptr, nullptr},
      {add, nullptr, nullptr},
      {interpolate_rows, nullptr, nullptr},
      {rope, nullptr, nullptr},
      {rope_qk, nullptr, nullptr},
      {attention, attention_workspace_bytes, attention_scratch_bytes},
      {rmsnorm, nullptr, rmsnorm_scratch_bytes},
      {gate, nullptr, nullptr},
      {gather_rows, nullptr, nullptr},
      {scatter_rows, scatter_rows_workspace_bytes, nullptr},
      {linear_gather_rows, nullptr, linear_scratch_bytes},
      {mean_groups, nullptr, nullptr},
      {linear_statistics, nullptr, linear_scratch_bytes},
      {linear_norm, nullptr, linear_scratch_bytes},
      {linear_norm_rope, nullptr, linear_scratch_bytes},
  }};
  return table[static_cast<std::size_t>(kernel)];
}

}  // namespace vitgraph::cpu
