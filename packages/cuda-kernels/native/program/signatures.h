// What an instruction's operands mean: KERNELS of src/kernels.ts, from which the enum and the table are generated.
#pragma once

#include <string>
#include <vector>

#include "program/kernels.gen.h"

namespace vitgraph {

struct OperandSignature {
  std::string name;
  /// "class [rows, columns]", see KernelSignature.forms in src/kernels.ts.
  std::string form;
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
  /// Quotients that must come out whole, where no operand's form says so already.
  std::vector<std::string> whole;
  /// The last `outputs` operands are written.
  std::size_t outputs;

  std::size_t first_output() const { return operands.size() - outputs; }
};

const std::vector<KernelSignature>& kernel_signatures();

inline const KernelSignature& signature_of(Kernel kernel) {
  return kernel_signatures()[static_cast<std::size_t>(kernel)];
}

}  // namespace vitgraph
