// The weight of a product that a norm is folded into: γ ⊙ W, and the vectors u and v of the product's epilogue (the
// kernel `linear_norm`). One thread; callers cut weights into slices of whole rows.
//
// Numerics. Products with γ, rows minus their mean, and stored weights are rounded once each, to float32 or bf16; sums
// and means are float64, in eight partial sums per row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/dtype.h"

namespace vitgraph::weights {

/// Rows of W, and the tensors that go into them.
struct NormFold {
  /// [rows, columns] in `from`.
  const uint8_t* weight;
  DType from;
  size_t rows;
  size_t columns;
  /// γ: [columns].
  const float* scale;
  /// β: [columns]; null for none.
  const float* shift;
  /// The product's: [rows]; null for none.
  const float* bias;
  /// Whether the norm subtracts the mean. If so, each row of γ ⊙ W loses its mean as well: Σ (x − mean) · c is 0 for any
  /// constant c. Otherwise the mean of x would be in every sum of the product, and would have to be subtracted again:
  /// rows whose mean is a thousand deviations would cancel.
  bool centred;
};

/// The operands of `linear_norm` for these rows.
struct FoldedWeight {
  /// γ ⊙ W: [rows, columns] in `to`, f32 or bf16.
  uint8_t* weight;
  DType to;
  /// Sums of the rows as they are stored: [rows].
  float* u;
  /// β · Wᵀ + bias: [rows].
  float* v;
};

/// The memory is aligned to its elements. @throws std::bad_alloc
void fold_norm(const NormFold& fold, const FoldedWeight& result);

}  // namespace vitgraph::weights
