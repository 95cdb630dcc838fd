// Linear layers on mma.sync, for compute capability 8.0 and newer: the fallback for the Hopper kernels.
#pragma once

#include "kernels/common/linear.h"

namespace vitgraph::kernels::smxx {

/// y = activation(x · weightᵀ + bias) + residual, or the rotation of the product, in f32 up to a single rounding. y may
/// be the residual, and must not overlap x or weight. Any shape and alignment. If columns are a multiple of 8, rows of
/// all matrices are aligned to 16 bytes and the bias to 4, loads and stores are 16 bytes wide; otherwise they are
/// scalar, and slow.
cudaError_t launch_linear(const Launch& launch, const LinearOperands& operands, Activation activation);

}  // namespace vitgraph::kernels::smxx
