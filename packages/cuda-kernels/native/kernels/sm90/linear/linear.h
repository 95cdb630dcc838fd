// Linear layers on wgmma and TMA, for compute capability 9.0 (built for sm_90a).
#pragma once

#include "kernels/common/linear.h"
#include "kernels/sm90/linear/heuristics.h"

namespace vitgraph::kernels::sm90 {

/// y = activation(x · weightᵀ + bias) + residual, or the rotation of the product, in f32 up to a single rounding. y may
/// be the residual, and must not overlap x or weight. Columns a multiple of 8; rows of all matrices aligned to 16
/// bytes, bias to 4. An activation and a residual together are not supported: the residual would cost registers in all
/// products with an activation.
cudaError_t launch_linear(const Launch& launch, const LinearOperands& operands, Activation activation, LinearTile tile);

}  // namespace vitgraph::kernels::sm90
