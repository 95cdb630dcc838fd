#include <array>
#include <string>

#include "backend/cpu/simd/simd.h"
#include "common/error.h"

namespace vitgraph::cpu {

std::span<const Simd* const> compiled_simd() {
#ifdef VITGRAPH_X86
  static constexpr std::array<const Simd*, 3> all = {&kSimdAvx512, &kSimdAvx2, &kSimdBaseline};
#else
  static constexpr std::array<const Simd*, 1> all = {&kSimdBaseline};
#endif
  return all;
}

bool is_supported([[maybe_unused]] const Simd& simd) {
#ifdef VITGRAPH_X86
  // These ask the operating system too, whether it saves the wide registers.
  if (&simd == &kSimdAvx512) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  }
  if (&simd == &kSimdAvx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return true;
}

const PairSimd* supported_pairs() {
#ifdef VITGRAPH_X86
  if (is_supported(kSimdAvx512) && __builtin_cpu_supports("avx512bf16")) return &kPairsAvx512;
#endif
  return nullptr;
}

const Simd& select_simd(std::string_view name) {
  std::string names;
  for (const Simd* simd : compiled_simd()) {
    if (!is_supported(*simd)) continue;
    if (name == "auto" || name == simd->name) return *simd;
    names += (names.empty() ? "" : ", ") + std::string(simd->name);
  }
  throw Error("VG_ARGUMENT_INVALID", "this processor does not run the instruction set " + std::string(name),
              "use auto or one of " + names);
}

}  // namespace vitgraph::cpu
