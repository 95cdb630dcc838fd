// Whether a linear layer's operands allow 16-byte loads and stores.
#pragma once

#include "kernels/common/linear.h"

namespace vitgraph::kernels {

/// `inner` is arbitrary: elements of a row beyond it, up to the next multiple of 16 bytes, are read as zeros.
inline bool linear_takes_vectors(const LinearOperands& operands) {
  return operands.columns % 8 == 0 && rows_aligned(operands.x, 16) && rows_aligned(operands.weight, 16) &&
         rows_aligned(operands.y, 16) && is_aligned(operands.bias, 4) &&
         (operands.residual.data == nullptr || rows_aligned(operands.residual, 16));
}

inline bool linear_is_valid(const LinearOperands& operands, Activation activation) {
  const LinearRotation& rotation = operands.rotation;
  const bool plain = activation == Activation::none && operands.residual.data == nullptr;
  const bool whole_heads = rotation.head_size > 0 && rotation.head_size % 8 == 0 &&
                           rotation.columns <= operands.columns && rotation.columns % rotation.head_size == 0 &&
                           rows_aligned(rotation.angles, 8);
  const LinearNorm& norm = operands.norm;
  const bool writes = operands.statistics.data != nullptr;
  const bool reads = norm.statistics.data != nullptr;
  return operands.columns > 0 && operands.inner > 0 && operands.rows.capacity > 0 &&
         (!writes || (activation == Activation::none && rotation.angles.data == nullptr && !reads)) &&
         (!reads || (operands.bias == nullptr && operands.residual.data == nullptr && norm.joined_rows > 0 &&
                     operands.inner % norm.joined_rows == 0 && is_aligned(norm.u, 8) && is_aligned(norm.v, 8))) &&
         (rotation.angles.data == nullptr || (plain && whole_heads));
}

}  // namespace vitgraph::kernels
