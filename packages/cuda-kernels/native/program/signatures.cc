// The table. Adding a kernel is one row here, one in src/kernels.ts, one in the enum, and a row in each backend's
// table.
#include "program/signatures.h"

namespace vitgraph {

const std::vector<KernelSignature>& kernel_signatures() {
  constexpr auto u32 = ScalarKind::u32;
  constexpr auto f32 = ScalarKind::f32;
  constexpr bool optional = true;
  constexpr bool required = false;
  constexpr bool in_place = true;

  // Never destroyed: a device's thread may still read it while the process exits.
  static const auto& table = *new std::vector<KernelSignature>{
      {"unpack_patches",
       {{"pixels", "u8 [m, bytes]"},
        {"patch_sources", "i32 [m, 1]"},
        {"channel_scale", "f32 [channels, 2]"},
        {"y", "activation [m, channels*temporal*patch_area]"}},
       {{"channels", u32}, {"temporal", u32}, {"patch_area", u32}},
       {}},
      {"linear",
       {{"x", "activation [m, k]"},
        {"weight", "weight [n, k]"},
        {"bias", "weight [1, n]", optional},
        {"residual", "activation [m, n]", optional, in_place},
        {"y", "activation [m, n]"}},
       {{"activation", u32}},
       {}},
      {"linear_rope",
       {{"x", "activation [m, k]"},
        {"weight", "weight [n, k]"},
        {"bias", "weight [1, n]", optional},
        {"positions", "i32 [m, 4]"},
        {"angles", "f32 [p, n/3/heads/8*4]"},
        {"y", "activation [m, n]"}},
       {{"heads", u32}},
       {}},
      {"layernorm",
       {{"x", "activation [m, n]", required, in_place},
        {"weight", "weight [1, n]"},
        {"bias", "weight [1, n]"},
        {"y", "activation [m, n]"}},
       {{"epsilon", f32}},
       {}},
      {"activation",
       {{"x", "activation [m, n]", required, in_place}, {"y", "activation [m, n]"}},
       {{"activation", u32}},
       {}},
      {"add",
       {{"a", "activation [m, n]", required, in_place},
        {"b", "activation [m, n]", required, in_place},
        {"y", "activation [m, n]"}},
       {},
       {}},
      {"position_embedding",
       {{"table", "weight [side*side, n]"}, {"positions", "i32 [m, 4]"}, {"y", "activation [m, n]"}},
       {{"side", u32}},
       {}},
      {"rope",
       {{"x", "activation [m, n]", required, in_place},
        {"positions", "i32 [m, 4]"},
        {"angles", "f32 [p, n/heads/4*2]"},
        {"y", "activation [m, n]"}},
       {{"heads", u32}},
       {}},
      {"rope_qk",
       {{"qkv", "activation [m, n]", required, in_place},
        {"positions", "i32 [m, 4]"},
        {"angles", "f32 [p, n/3/heads/4*2]"},
        {"y", "activation [m, n]"}},
       {{"heads", u32}},
       {}},
      {"attention",
       {{"q", "activation [m, n]"},
        {"k", "activation [m, n]"},
        {"v", "activation [m, n]"},
        {"cu_seqlens", "i32 [s, 1]"},
        {"y", "activation [m, n]"}},
       {{"heads", u32}, {"scale", f32}},
       {"n/heads"}},
  };
  return table;
}

}  // namespace vitgraph
