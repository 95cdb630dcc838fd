// Linear layers on wgmma and the bulk tensor copy engine, for compute capability 9.0 (built for sm_90a).
#pragma once

#include "kernels/common/linear.h"
#include "kernels/sm90/linear/heuristics.h"

namespace vitgraph::kernels::sm90 {

/// y = activation(x · weightᵀ + bias) + residual, or the rotation of the product, in f32 from the products to the one
/// rounding. y may be the residual, and must not overlap x or weight. Columns a multiple of 8; rows of all matrices at
/// multiples of 16 bytes; bias at one of 4. Not both an activation and a residual: room for a residual would cost all
/// products with an activation registers.
cudaError_t launch_linear(const Launch& launch, const LinearOperands& operands, Activation activation, LinearTile tile);

}  // namespace vitgraph::kernels::sm90
