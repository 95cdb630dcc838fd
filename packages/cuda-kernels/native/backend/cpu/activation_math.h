#pragma once
#include <cmath>
#include "program/signatures.h"
namespace vitgraph::cpu {
inline float activate(Activation function, float x) {
  switch (function) {
    case Activation::gelu_tanh: {
      const float u = 0.7978845608028654f * (x + 0.044715f * x * x * x);
      return x / (1.0f + std::exp(-2.0f * u));
    }
    case Activation::gelu_erf:
      return 0.5f * x * (1.0f + std::erf(x * 0.70710678118654752f));
    case Activation::quick_gelu:
      return x / (1.0f + std::exp(-1.702f * x));
    case Activation::silu:
      return x / (1.0f + std::exp(-x));
    default:
      return x;
  }
}
}
