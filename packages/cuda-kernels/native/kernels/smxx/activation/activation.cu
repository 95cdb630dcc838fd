// Launches activation: a table of functions, with 8 or 1 elements per thread and step.
#include "kernels/smxx/activation/activation.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/activation/activation_kernel.cuh"

namespace vitgraph::kernels::smxx {
namespace {

using Kernel = void (*)(ActivationOperands);

template <int kSize>
Kernel kernel_of(Activation function) {
  switch (function) {
    case Activation::none: return activation_kernel<Activation::none, kSize>;
    case Activation::gelu_tanh: return activation_kernel<Activation::gelu_tanh, kSize>;
    case Activation::gelu_erf: return activation_kernel<Activation::gelu_erf, kSize>;
    case Activation::quick_gelu: return activation_kernel<Activation::quick_gelu, kSize>;
    case Activation::silu: return activation_kernel<Activation::silu, kSize>;
  }
  return nullptr;
}

}  // namespace

cudaError_t launch_activation(const Launch& launch, const ActivationOperands& operands, Activation function) {
  const bool vectors = operands.columns % 8 == 0 && rows_aligned(operands.x, 16) && rows_aligned(operands.y, 16);
  const Kernel kernel = vectors ? kernel_of<8>(function) : kernel_of<1>(function);
  if (kernel == nullptr || operands.columns <= 0 || operands.rows.capacity <= 0) return cudaErrorInvalidValue;
  const std::int64_t items = static_cast<std::int64_t>(operands.rows.capacity) * operands.columns / (vectors ? 8 : 1);
  return launch_kernel(launch, kernel, walking_grid(launch, items, 256), 256, 0, operands);
}

}  // namespace vitgraph::kernels::smxx
