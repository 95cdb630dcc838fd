// Products of sizes that come from outside: one that does not fit is an error, and never a small number.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>

#include "common/error.h"

namespace vitgraph {

/// JavaScript counts bytes in doubles, which are exact up to here.
inline constexpr std::size_t kMaxBytes = std::size_t{1} << 53;

/// @throws Error VG_ARGUMENT_INVALID above 2^53.
inline std::size_t checked_product(std::initializer_list<std::size_t> factors) {
  std::size_t product = 1;
  for (const std::size_t factor : factors) {
    if (factor != 0 && product > kMaxBytes / factor) {
      std::string text;
      for (const std::size_t f : factors) text += (text.empty() ? "" : " · ") + std::to_string(f);
      throw Error("VG_ARGUMENT_INVALID", text + " bytes are more than an array can have", "give smaller sizes");
    }
    product *= factor;
  }
  return product;
}

}  // namespace vitgraph
