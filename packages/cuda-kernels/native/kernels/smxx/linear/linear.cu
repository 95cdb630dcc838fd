// Launches the portable linear layer: a table of activations, with vector or scalar accesses.
#include "kernels/smxx/linear/linear.h"

#include "kernels/common/linear_alignment.h"
#include "kernels/smxx/linear/linear_kernel.cuh"

namespace vitgraph::kernels::smxx {
namespace {

using Kernel = void (*)(LinearOperands);

template <bool kVectors>
Kernel kernel_of(Activation activation, bool rotate) {
  if (rotate) return linear_kernel<Activation::none, kVectors, true>;
  switch (activation) {
    case Activation::none: return linear_kernel<Activation::none, kVectors>;
    case Activation::gelu_tanh: return linear_kernel<Activation::gelu_tanh, kVectors>;
    case Activation::gelu_erf: return linear_kernel<Activation::gelu_erf, kVectors>;
    case Activation::quick_gelu: return linear_kernel<Activation::quick_gelu, kVectors>;
    case Activation::silu: return linear_kernel<Activation::silu, kVectors>;
  }
  return nullptr;
}

}  // namespace

cudaError_t launch_linear(const Launch& launch, const LinearOperands& operands, Activation activation) {
  if (!linear_is_valid(operands, activation)) return cudaErrorInvalidValue;
  const bool rotate = operands.rotation.angles.data != nullptr;
  const Kernel kernel =
      linear_takes_vectors(operands) ? kernel_of<true>(activation, rotate) : kernel_of<false>(activation, rotate);
  if (kernel == nullptr) return cudaErrorInvalidValue;
  const dim3 grid(static_cast<unsigned>(divide_up(operands.columns, LinearShape::kTile)),
                  static_cast<unsigned>(divide_up(operands.rows.capacity, LinearShape::kTile)));
  return launch_kernel(launch, kernel, grid, LinearShape::kThreads, LinearShape::kSharedBytes, operands);
}

}  // namespace vitgraph::kernels::smxx
