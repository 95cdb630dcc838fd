// The kernels' signatures: the native copy of KERNELS in src/kernels.ts, which a contract test compares with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace vitgraph {

/// In the order of the table: the value is the encoding.
enum class Kernel : std::uint32_t {
  unpack_patches,
  linear,
  linear_rope,
  layernorm,
  activation,
  add,
  interpolate_rows,
  rope,
  rope_qk,
  attention,
  rmsnorm,
  gate,
  gather_rows,
  scatter_rows,
  linear_gather_rows,
  mean_groups,
  linear_statistics,
  linear_norm,
  linear_norm_rope,
};
inline constexpr std::size_t kKernelCount = 19;
inline constexpr std::size_t kMaxOperands = 8;
inline constexpr std::size_t kMaxScalars = 3;

/// In the order of ACTIVATIONS in src/kernels.ts.
enum class Activation : std::uint32_t { none, gelu_tanh, gelu_erf, quick_gelu, silu };
inline constexpr std::uint32_t kActivationCount = 5;

struct OperandSignature {
  std::string name;
  /// "class [rows, columns]", see KernelSignature.forms in src/kernels.ts.
  std::string form;
  bool optional = false;
  /// The output may share this input's memory.
  bool in_place = false;
};

/// A u32 called "activation" is an index into ACTIVATIONS; every other u32 is a count, at least 1.
enum class ScalarKind { u32, f32 };

struct ScalarSignature {
  std::string name;
  ScalarKind kind;
};

struct KernelSignature {
  std::string name;
  std::vector<OperandSignature> operands;
  std::vector<ScalarSignature> scalars;
  /// Quotients that must come out whole, where no operand's form says so already.
  std::vector<std::string> whole;
};

const std::vector<KernelSignature>& kernel_signatures();

inline const KernelSignature& signature_of(Kernel kernel) {
  return kernel_signatures()[static_cast<std::size_t>(kernel)];
}

}  // namespace vitgraph
