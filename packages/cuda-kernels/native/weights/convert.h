// The elements of a weight in another float dtype. One thread; callers cut weights into slices.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/dtype.h"

namespace vitgraph::weights {

/// `from` is f32, bf16 or f16; `to` is f32 or bf16, rounded to nearest, ties to even. Both pointers are aligned to their
/// elements.
void convert(const uint8_t* elements, DType from, size_t count, uint8_t* result, DType to);

}  // namespace vitgraph::weights
