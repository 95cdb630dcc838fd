// Large pages for memory that is about to be written for the first time.
#pragma once

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cstddef>
#include <cstdint>
#include <span>

namespace vitgraph {

inline constexpr std::size_t kLargePage = std::size_t{2} << 20;

/// Asks for large pages: memory that was never touched then costs a fault for each 2 MiB of it instead of one for each
/// 4 KiB. A system without them refuses, and nothing is lost.
inline void prefer_large_pages([[maybe_unused]] std::span<std::byte> bytes) {
#ifdef __linux__
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t begin = (address + kLargePage - 1) / kLargePage * kLargePage;
  const std::uintptr_t end = (address + bytes.size()) / kLargePage * kLargePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace vitgraph
