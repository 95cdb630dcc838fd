// Two-dimensional rotary embedding.
#pragma once

#include "kernels/common/launch.h"
#include "kernels/common/linear.h"

namespace vitgraph::kernels::smxx {

/// The first quarter of a head's rotation pairs turn by the patch's row, the second by its column; pair i of a head is
/// (i, i + head_size / 2).
struct RopeOperands {
  /// `rope`: [rows, heads · head_size]. `rope_qk`: [rows, 3 · heads · head_size]. y may be x.
  View<const Bf16> x;
  View<Bf16> y;
  /// [rows, 4]: row and column come first. The host has checked that they are rows of `angles`.
  View<const std::int32_t> positions;
  /// [positions, head_size / 2]: cosines of the head_size / 4 frequencies, then their sines.
  View<const float> angles;
  Rows rows;
  std::int32_t heads;
  std::int32_t head_size;
};

/// Turns every head of x. Head sizes that are multiples of 4; multiples of 8 with rows at multiples of 8 bytes are fast.
cudaError_t launch_rope(const Launch& launch, const RopeOperands& operands);

/// Turns the query and key thirds of x. The value third is copied, unless y is x.
cudaError_t launch_rope_qk(const Launch& launch, const RopeOperands& operands);

/// Turns the first columns of y in place, as LinearRotation describes it: after a product that could not do so itself. Rows
/// of y at multiples of 16 bytes.
cudaError_t launch_rope_pairs(const Launch& launch, const LinearRotation& rotation, const View<Bf16>& y, const Rows& rows);

}  // namespace vitgraph::kernels::smxx
