#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

const KernelEntry& kernel_entry(Kernel kernel) {
  static constexpr std::array<KernelEntry, kKernelCount> table = {{
      {unpack_patches, nullptr},
      {linear, nullptr},
      {layernorm, nullptr},
      {activation, nullptr},
      {add, nullptr},
      {position_embedding, nullptr},
      {rope, nullptr},
      {rope_qk, nullptr},
      {attention, nullptr},
  }};
  return table[static_cast<std::size_t>(kernel)];
}

}  // namespace vitgraph::cpu
