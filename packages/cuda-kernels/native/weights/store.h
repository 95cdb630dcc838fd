// Writing the two dtypes that devices take weights in.
#pragma once

#include <type_traits>

#include "common/dtype.h"

namespace vitgraph::weights {

template <typename To>
To store_as(float value) {
  if constexpr (std::is_same_v<To, BFloat16>)
    return to_bfloat16(value);
  else
    return value;
}

/// Calls `body` with a null pointer of the C++ type behind bf16 or f32.
template <typename Body>
void with_stored_type(DType dtype, Body&& body) {
  if (dtype == DType::bf16) return body(static_cast<BFloat16*>(nullptr));
  body(static_cast<float*>(nullptr));
}

}  // namespace vitgraph::weights
