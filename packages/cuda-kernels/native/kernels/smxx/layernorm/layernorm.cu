// Launches layernorm. norm_launch.h selects the kernel.
#include "kernels/smxx/layernorm/layernorm.h"

#include "kernels/smxx/common/norm_launch.h"
#include "kernels/smxx/layernorm/layernorm_kernel.cuh"

namespace vitgraph::kernels::smxx {
namespace {

struct Layernorm {
  using Operands = LayernormOperands;
  template <int kRowThreads, int kVectors>
  static auto in_registers() {
    return layernorm_kernel<kRowThreads, kVectors>;
  }
  static auto any() { return layernorm_any_kernel; }
};

}  // namespace

cudaError_t launch_layernorm(const Launch& launch, const LayernormOperands& operands) {
  return launch_norm<Layernorm>(launch, operands, is_aligned(operands.weight, 16) && is_aligned(operands.bias, 16));
}

}  // namespace vitgraph::kernels::smxx
