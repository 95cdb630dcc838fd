// x86-64 with AVX2 and FMA: compiled with -mavx2 -mfma.
#include <cstddef>

namespace vitgraph::cpu {
namespace {
constexpr std::size_t kLanes = 8;
// 16 registers: 12 sums, 2 vectors of the panel, the broadcast.
constexpr std::size_t kTileRows = 6;
constexpr std::size_t kTileVectors = 2;
}  // namespace
}  // namespace vitgraph::cpu

#include "backend/cpu/simd/body.h"

namespace vitgraph::cpu {
constinit const Simd kSimdAvx2 = make_simd("avx2");
}  // namespace vitgraph::cpu
