// Element types, and reading the two 16-bit float formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace vitgraph {

/// In the order of DTYPE_BYTES in src/program.ts: the value is the encoding.
enum class DType : std::uint32_t { f32, bf16, f16, i32, u8 };
inline constexpr std::uint32_t kDTypeCount = 5;

constexpr const char* name_of(DType dtype) {
  constexpr const char* names[kDTypeCount] = {"f32", "bf16", "f16", "i32", "u8"};
  return names[static_cast<std::uint32_t>(dtype)];
}

constexpr std::size_t size_of(DType dtype) {
  constexpr std::size_t sizes[kDTypeCount] = {4, 2, 2, 4, 1};
  return sizes[static_cast<std::uint32_t>(dtype)];
}

struct BFloat16 {
  std::uint16_t bits;
};

struct Float16 {
  std::uint16_t bits;
};

inline float bits_to_float(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline std::uint32_t float_to_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float to_float(float value) { return value; }

inline float to_float(BFloat16 value) { return bits_to_float(static_cast<std::uint32_t>(value.bits) << 16); }

/// Exact for every input, subnormals, infinities and NaNs included, without a branch, so that loops over it vectorise.
inline float to_float(Float16 value) {
  // The half's exponent and mantissa, moved to a float's place, are the value scaled by 2^-112.
  const float scaled = bits_to_float(static_cast<std::uint32_t>(value.bits & 0x7fffu) << 13);
  const float magnitude = scaled * 0x1p112f;
  // 65536 and above can only come from the exponent 31 of infinity and NaN, which needs a float's own 255.
  const std::uint32_t special = magnitude >= 65536.0f ? 0x7f800000u : 0u;
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  return bits_to_float(float_to_bits(magnitude) | special | sign);
}

/// Rounds to nearest, ties to even; a NaN stays one.
inline BFloat16 to_bfloat16(float value) {
  const std::uint32_t bits = float_to_bits(value);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const std::uint32_t nan = (bits >> 16) | 0x40u;
  return {static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded)};
}

/// Calls `body` with a null pointer of the C++ type behind a float dtype: `with_float_type(d, [&](auto* type) {...})`.
template <typename Body>
decltype(auto) with_float_type(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::bf16: return body(static_cast<const BFloat16*>(nullptr));
    case DType::f16: return body(static_cast<const Float16*>(nullptr));
    default: return body(static_cast<const float*>(nullptr));
  }
}

}  // namespace vitgraph
