// Two-dimensional RoPE.
#pragma once

#include "kernels/common/launch.h"
#include "kernels/common/linear.h"

namespace vitgraph::kernels::smxx {

/// Pair i of a head is its columns (i, i + head_size / 2). The patch's row rotates the first half of the pairs, its
/// column the second half.
struct RopeOperands {
  /// `rope`: [rows, heads · head_size]. `rope_qk`: [rows, 3 · heads · head_size]. y may be x.
  View<const Bf16> x;
  View<Bf16> y;
  /// [rows, 4]: row and column come first. The host has checked that they are valid rows of `angles`.
  View<const std::int32_t> positions;
  /// [positions, head_size / 2]: cosines of the head_size / 4 frequencies, then their sines.
  View<const float> angles;
  Rows rows;
  std::int32_t heads;
  std::int32_t head_size;
};

/// Rotates every head of x. Head sizes are multiples of 4; fastest with multiples of 8 and rows aligned to 8 bytes.
cudaError_t launch_rope(const Launch& launch, const RopeOperands& operands);

/// Rotates the query and key thirds of x. Copies the value third, unless y is x.
cudaError_t launch_rope_qk(const Launch& launch, const RopeOperands& operands);

/// Rotates the first columns of y in place, as described by LinearRotation: for products whose kernel does not apply
/// RoPE. Rows of y are aligned to 16 bytes.
cudaError_t launch_rope_pairs(const Launch& launch, const LinearRotation& rotation, const View<Bf16>& y,
                              const Rows& rows);

}  // namespace vitgraph::kernels::smxx
