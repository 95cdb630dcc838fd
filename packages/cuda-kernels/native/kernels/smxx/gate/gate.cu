// Launches gate: a table of functions, with 8, 4 or 1 elements per thread and step.
#include "kernels/smxx/gate/gate.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/gate/gate_kernel.cuh"

namespace vitgraph::kernels::smxx {
namespace {

using Kernel = void (*)(GateOperands);

template <int kSize>
Kernel kernel_of(Activation function) {
  switch (function) {
    case Activation::none: return gate_kernel<Activation::none, kSize>;
    case Activation::gelu_tanh: return gate_kernel<Activation::gelu_tanh, kSize>;
    case Activation::gelu_erf: return gate_kernel<Activation::gelu_erf, kSize>;
    case Activation::quick_gelu: return gate_kernel<Activation::quick_gelu, kSize>;
    case Activation::silu: return gate_kernel<Activation::silu, kSize>;
  }
  return nullptr;
}

}  // namespace

cudaError_t launch_gate(const Launch& launch, const GateOperands& operands, Activation function) {
  const auto fits = [&](int size) {
    const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(Bf16);
    return operands.columns % size == 0 && rows_aligned(operands.gate, bytes) && rows_aligned(operands.up, bytes) &&
           rows_aligned(operands.y, bytes);
  };
  const int size = fits(8) ? 8 : fits(4) ? 4 : 1;
  const Kernel kernel = size == 8   ? kernel_of<8>(function)
                        : size == 4 ? kernel_of<4>(function)
                                    : kernel_of<1>(function);
  if (kernel == nullptr || operands.columns <= 0 || operands.rows.capacity <= 0) return cudaErrorInvalidValue;
  const std::int64_t items = static_cast<std::int64_t>(operands.rows.capacity) * operands.columns / size;
  return launch_kernel(launch, kernel, walking_grid(launch, items, 256), 256, 0, operands);
}

}  // namespace vitgraph::kernels::smxx
