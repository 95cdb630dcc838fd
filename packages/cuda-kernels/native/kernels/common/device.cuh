// Shared by the kernels of all architectures: real rows, 16-byte vectors of bfloat16, the elementwise functions,
// programmatic dependent launch.
#pragma once

#include <cstdint>

#include "kernels/common/activation.h"
#include "kernels/common/launch.h"

namespace vitgraph::kernels {

__device__ __forceinline__ int real_rows(const Rows& rows) {
  const int count = (rows.count == nullptr ? 0 : __ldg(rows.count)) + rows.plus;
  return min(count, rows.capacity);
}

/// Waits until earlier kernels on the stream have completed and their writes are visible, then lets the next one
/// launch. Every thread calls it before it accesses memory that other kernels write (weights and counts are not). Free
/// without programmatic launch. This order keeps kernels at most one ahead of the running one.
__device__ __forceinline__ void await_previous_kernels() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// `Size` elements, loaded and stored at once.
template <typename T, int Size>
struct alignas(sizeof(T) * Size) Vector {
  T values[Size];
};

__device__ __forceinline__ float2 unpack_bf16(std::uint32_t pair) {
  return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
}

/// Rounds to nearest even, `low` in the lower half.
__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

/// Unpacks eight bfloat16 in memory order.
__device__ __forceinline__ void unpack_bf16(const uint4& packed, float (&values)[8]) {
  const std::uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = unpack_bf16(words[i]);
    values[2 * i] = pair.x;
    values[2 * i + 1] = pair.y;
  }
}

__device__ __forceinline__ uint4 pack_bf16(const float (&values)[8]) {
  return {pack_bf16(values[0], values[1]), pack_bf16(values[2], values[3]), pack_bf16(values[4], values[5]),
          pack_bf16(values[6], values[7])};
}

/// 2^x to 2 ulp; 0 for -infinity.
__device__ __forceinline__ float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ __forceinline__ float reciprocal_approximate(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// x · sigmoid(s). The hardware's tanh would save an instruction, but its absolute error of 2^-11 is as large as the
/// whole value of gelu(-3).
__device__ __forceinline__ float times_sigmoid(float x, float s) {
  return x * reciprocal_approximate(1.0f + exp2_approximate(-1.4426950408889634f * s));
}

template <Activation kActivation>
__device__ __forceinline__ float activate(float x) {
  if constexpr (kActivation == Activation::gelu_tanh) {
    // 0.5 (1 + tanh u) = sigmoid(2u)
    return times_sigmoid(x, x * (1.5957691216057308f + 0.07135481627159036f * x * x));
  } else if constexpr (kActivation == Activation::gelu_erf) {
    // max(x, 0) - a Φ(-a) with a = |x|, Φ(-a) = e^(-a²/2) P(t), t = 1 / (1 + 0.376 a). P is a minimax fit: the relative
    // error of Φ is at most 3e-5, in the tail too; a bfloat16's is 2e-3. erff takes twice the instructions, and made
    // tiles spill.
    const float a = fabsf(x);
    const float t = reciprocal_approximate(1.0f + 0.376f * a);
    float p = -0.0908564085f;
    p = p * t + 0.198742461f;
    p = p * t + 0.0847129358f;
    p = p * t + 0.157913552f;
    p = p * t + 0.14947762f;
    return fmaxf(x, 0.0f) - a * t * p * exp2_approximate(-0.72134752044448170f * x * x);
  } else if constexpr (kActivation == Activation::quick_gelu) {
    return times_sigmoid(x, 1.702f * x);
  } else if constexpr (kActivation == Activation::silu) {
    return times_sigmoid(x, x);
  } else {
    return x;
  }
}

/// For kernels with few elements per thread, where a branch costs less than one kernel per function.
__device__ __forceinline__ float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::none: return x;
    case Activation::gelu_tanh: return activate<Activation::gelu_tanh>(x);
    case Activation::gelu_erf: return activate<Activation::gelu_erf>(x);
    case Activation::quick_gelu: return activate<Activation::quick_gelu>(x);
    case Activation::silu: return activate<Activation::silu>(x);
  }
  return x;
}

}  // namespace vitgraph::kernels
