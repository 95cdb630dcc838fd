// Launches rmsnorm. norm_launch.h selects the kernel.
#include "kernels/smxx/rmsnorm/rmsnorm.h"

#include "kernels/smxx/common/norm_launch.h"
#include "kernels/smxx/rmsnorm/rmsnorm_kernel.cuh"

namespace vitgraph::kernels::smxx {
namespace {

struct Rmsnorm {
  using Operands = RmsnormOperands;
  template <int kRowThreads, int kVectors>
  static auto in_registers() {
    return rmsnorm_kernel<kRowThreads, kVectors>;
  }
  static auto any() { return rmsnorm_any_kernel; }
};

}  // namespace

cudaError_t launch_rmsnorm(const Launch& launch, const RmsnormOperands& operands) {
  return launch_norm<Rmsnorm>(launch, operands, is_aligned(operands.weight, 16));
}

}  // namespace vitgraph::kernels::smxx
