// The elementwise functions of `linear` and `activation`, in the order of ACTIVATIONS in src/kernels.ts.
#pragma once

#include <cstdint>

namespace vitgraph::kernels {

enum class Activation : std::uint32_t { none, gelu_tanh, gelu_erf, quick_gelu, silu };

}  // namespace vitgraph::kernels
