// The instruction set of every processor of the architecture: SSE2 on x86-64, NEON on arm64.
#include <cstddef>

namespace vitgraph::cpu {
namespace {
constexpr std::size_t kLanes = 4;
#if defined(__aarch64__)
// 32 registers: 24 sums, 3 vectors of the panel, the broadcast.
constexpr std::size_t kTileRows = 8;
constexpr std::size_t kTileVectors = 3;
#else
// 16 registers: 8 sums, 2 vectors of the panel, the broadcast and its products (there is no fused multiply-add).
constexpr std::size_t kTileRows = 4;
constexpr std::size_t kTileVectors = 2;
#endif
}  // namespace
}  // namespace vitgraph::cpu

#include "backend/cpu/simd/body.h"

namespace vitgraph::cpu {
#if defined(__aarch64__)
constinit const Simd kSimdBaseline = make_simd("neon");
#else
constinit const Simd kSimdBaseline = make_simd("sse2");
#endif
}  // namespace vitgraph::cpu
