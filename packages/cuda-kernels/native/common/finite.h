// Finds the first float that is NaN or infinite. Loops without branches, so that they vectorise.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "common/dtype.h"

namespace vitgraph {

/// Index of the first element that is NaN or infinite, or -1. `bytes` hold elements of `dtype`; integers count as
/// finite. A float is finite unless its exponent is all ones.
inline std::int64_t first_non_finite(std::span<const std::byte> bytes, DType dtype) {
  // Long enough for the loop to run in vectors, short enough to end soon after the first bad element.
  constexpr std::size_t kBlockBytes = 1 << 16;
  const auto scan = [&](auto zero, auto exponent) -> std::int64_t {
    using Word = decltype(zero);
    const auto is_bad = [&](std::size_t index) {
      Word word;
      std::memcpy(&word, bytes.data() + index * sizeof(Word), sizeof word);
      return (word & exponent) == exponent;
    };
    for (std::size_t at = 0; at < bytes.size(); at += kBlockBytes) {
      const std::size_t begin = at / sizeof(Word);
      const std::size_t end = begin + std::min(kBlockBytes, bytes.size() - at) / sizeof(Word);
      Word bad = 0;
      for (std::size_t i = begin; i < end; ++i) bad = static_cast<Word>(bad | (is_bad(i) ? 1 : 0));
      if (bad == 0) continue;
      for (std::size_t i = begin; i < end; ++i) {
        if (is_bad(i)) return static_cast<std::int64_t>(i);
      }
    }
    return -1;
  };
  switch (dtype) {
    case DType::f32: return scan(std::uint32_t{0}, std::uint32_t{0x7f800000u});
    case DType::bf16: return scan(std::uint16_t{0}, std::uint16_t{0x7f80u});
    case DType::f16: return scan(std::uint16_t{0}, std::uint16_t{0x7c00u});
    default: return -1;
  }
}

}  // namespace vitgraph
