// Whether floats are all finite: neither NaN nor infinite. Loops without branches, so that they vectorise.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "common/dtype.h"

namespace vitgraph {

/// `bytes` hold elements of `dtype`; integers count as finite. A float is finite unless its exponent is all ones.
inline bool all_finite(std::span<const std::byte> bytes, DType dtype) {
  // Long enough for the loop to run in vectors, short enough to end soon after the first bad element.
  constexpr std::size_t kBlockBytes = 1 << 16;
  const auto scan = [&](auto zero, auto exponent) {
    using Word = decltype(zero);
    for (std::size_t at = 0; at < bytes.size(); at += kBlockBytes) {
      const std::size_t count = std::min(kBlockBytes, bytes.size() - at) / sizeof(Word);
      Word bad = 0;
      for (std::size_t i = 0; i < count; ++i) {
        Word word;
        std::memcpy(&word, bytes.data() + at + i * sizeof(Word), sizeof word);
        bad = static_cast<Word>(bad | ((word & exponent) == exponent ? 1 : 0));
      }
      if (bad != 0) return false;
    }
    return true;
  };
  switch (dtype) {
    case DType::f32:
      return scan(std::uint32_t{0}, std::uint32_t{0x7f800000u});
    case DType::bf16:
      return scan(std::uint16_t{0}, std::uint16_t{0x7f80u});
    case DType::f16:
      return scan(std::uint16_t{0}, std::uint16_t{0x7c00u});
    default:
      return true;
  }
}

}  // namespace vitgraph
