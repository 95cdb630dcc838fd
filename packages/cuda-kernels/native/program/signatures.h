// The kernels' signatures. The enum and the table are generated from KERNELS of src/kernels.ts.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "program/kernels.gen.h"

namespace vitgraph {

struct OperandSignature {
  std::string name;
  /// "class [rows, columns]", see KernelSignature.operandTypes in src/kernels.ts.
  std::string type;
  bool optional;
  /// The output may share this input's memory.
  bool in_place;
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
  /// Quotients that must be whole numbers, if no operand type implies it.
  std::vector<std::string> divisible;
  /// The last `outputs` operands are written.
  std::size_t outputs;

  std::size_t first_output() const { return operands.size() - outputs; }
};

const std::vector<KernelSignature>& kernel_signatures();

inline const KernelSignature& signature_of(Kernel kernel) {
  return kernel_signatures()[static_cast<std::size_t>(kernel)];
}

/// Whether the rows of a table by kernel are all there and in the order of KERNELS: each row begins with its kernel.
template <typename Row, std::size_t kRows>
constexpr bool in_kernel_order(const std::array<Row, kRows>& table) {
  for (std::size_t i = 0; i < kRows; ++i) {
    if (table[i].kernel != static_cast<Kernel>(i)) return false;
  }
  return kRows == kKernelCount;
}

}  // namespace vitgraph
