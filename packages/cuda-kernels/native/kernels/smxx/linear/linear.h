// Linear layers on mma.sync, for compute capability 8.0 and newer: the fallback where nothing faster is at hand.
#pragma once

#include "kernels/common/linear.h"

namespace vitgraph::kernels::smxx {

/// y = activation(x · weightᵀ + bias) + residual, or the rotation of the product, in f32 from the products to the one
/// rounding. y may be the residual, and
/// must not overlap x or weight. Any shape and alignment. With columns a multiple of 8, rows of all matrices at multiples of
/// 16 bytes, and bias at one of 4, the loads and stores are 16 bytes wide; else they go element by element, and slowly.
cudaError_t launch_linear(const Launch& launch, const LinearOperands& operands, Activation activation);

}  // namespace vitgraph::kernels::smxx
