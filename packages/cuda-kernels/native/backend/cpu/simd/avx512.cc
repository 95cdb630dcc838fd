// x86-64 with AVX-512 F, VL, BW and DQ: compiled with the flags of the same names.
#include <cstddef>

namespace vitgraph::cpu {
namespace {
constexpr std::size_t kLanes = 16;
// 32 registers: 28 sums, 2 vectors of the panel, the broadcast.
constexpr std::size_t kTileRows = 14;
constexpr std::size_t kTileVectors = 2;
}  // namespace
}  // namespace vitgraph::cpu

#include "backend/cpu/simd/body.h"

namespace vitgraph::cpu {
constinit const Simd kSimdAvx512 = make_simd("avx512");
}  // namespace vitgraph::cpu
