// Holds every instruction against its kernel's signature: element types, shapes that agree, scalars in their range, and
// an output that overlaps no input but those it may. src/testing/validate.ts says the same in the same words.
//
// An operand type "class [rows, columns]" is read by a small unifier: a symbol takes the first value that it meets, and
// later ones must equal it. Row counts compare as they are written (dim and plus), not at some capacity.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include "common/error.h"
#include "program/program.h"

namespace vitgraph {
namespace {

/// Larger than any count that a program can have, and small enough to multiply by one.
constexpr std::uint64_t kTooLarge = std::uint64_t{1} << 32;

std::string print(RowCount count) {
  if (count.dim == kNoDim) return std::to_string(count.plus);
  std::string text = "counts[" + std::to_string(count.dim) + "]";
  if (count.plus != 0) text.append("+").append(std::to_string(count.plus));
  return text;
}

class Checker {
 public:
  Checker(const Program& program, std::size_t index, DType activation)
      : program_(program),
        instruction_(program.instructions[index]),
        signature_(signature_of(instruction_.kernel)),
        name_(name_of(program, index)),
        activation_(activation) {}

  void check() {
    for (std::size_t i = 0; i < signature_.scalars.size(); ++i) check_scalar(i);
    for (std::size_t i = 0; i < signature_.operands.size(); ++i) {
      if (instruction_.operands[i] >= 0) check_operand(i);
    }
    for (const std::string& quotient : signature_.divisible) evaluate(quotient);
    for (std::size_t i = signature_.first_output(); i < signature_.operands.size(); ++i) check_output(i);
  }

 private:
  [[noreturn]] void invalid(const std::string& fact) const {
    throw Error("VG_PROGRAM_INVALID", name_ + ": " + fact,
                "compare the instruction with the kernel's signature in KERNELS");
  }

  const Buffer& buffer(std::size_t operand) const {
    return program_.buffers[static_cast<std::size_t>(instruction_.operands[operand])];
  }

  void check_scalar(std::size_t index) {
    const ScalarSignature& scalar = signature_.scalars[index];
    const std::uint32_t value = instruction_.scalars[index];
    if (scalar.kind == ScalarKind::f32) {
      float as_float;
      static_assert(sizeof as_float == sizeof value);
      std::memcpy(&as_float, &value, sizeof value);
      if (!std::isfinite(as_float)) invalid(scalar.name + " is not a finite number");
    } else if (scalar.name == "activation") {
      if (value >= kActivationCount) {
        invalid("activation is " + std::to_string(value) + " of " + std::to_string(kActivationCount));
      }
    } else {
      if (value == 0 || value > 0x7fffffffu) {
        invalid(scalar.name + " is " + std::to_string(value) + ", expected a count of at least 1");
      }
      symbols_.push_back({scalar.name, {kNoDim, value}});
    }
  }

  void check_operand(std::size_t index) {
    const OperandSignature& operand = signature_.operands[index];
    const Buffer& actual = buffer(index);
    const std::string_view type = operand.type;
    const std::size_t open = type.find('[');
    const std::size_t comma = type.find(", ", open);
    check_dtype(operand, actual.dtype, type.substr(0, open - 1));
    const RowCount rows = expect(type.substr(open + 1, comma - open - 1), actual.rows);
    if (!(rows == actual.rows)) {
      invalid(operand.name + " has " + print(actual.rows) + " rows, expected " + print(rows) + " for " + operand.type);
    }
    const RowCount columns = expect(type.substr(comma + 2, type.size() - comma - 3), {kNoDim, actual.columns});
    if (!(columns == RowCount{kNoDim, actual.columns})) {
      invalid(operand.name + " has " + std::to_string(actual.columns) + " columns, expected " + print(columns) +
              " for " + operand.type);
    }
  }

  void check_dtype(const OperandSignature& operand, DType actual, std::string_view kind) {
    if (kind == "activation|i32") return check_either(operand, actual);
    if (kind == "weight") {
      if (actual == DType::f32 || actual == DType::bf16 || actual == DType::f16) return;
      invalid(operand.name + " is " + name_of(actual) + ", expected f32, bf16 or f16");
    }
    const std::string expected = kind == "activation" ? name_of(activation_) : std::string(kind);
    if (name_of(actual) != expected) invalid(operand.name + " is " + name_of(actual) + ", expected " + expected);
  }

  /// The first operand says which of the two it is, and the others follow.
  void check_either(const OperandSignature& operand, DType actual) {
    if (either_ && actual != *either_) {
      invalid(operand.name + " is " + name_of(actual) + ", expected " + name_of(*either_));
    }
    if (actual != activation_ && actual != DType::i32) {
      invalid(operand.name + " is " + name_of(actual) + ", expected " + name_of(activation_) + " or i32");
    }
    either_ = actual;
  }

  RowCount* find(std::string_view symbol) {
    const auto found =
        std::find_if(symbols_.begin(), symbols_.end(), [&](const Symbol& s) { return s.name == symbol; });
    return found == symbols_.end() ? nullptr : &found->value;
  }

  /// What `expression` comes to; a symbol alone that nothing is known of yet takes the value of `actual`.
  RowCount expect(std::string_view expression, RowCount actual) {
    if (expression.find_first_of("*/") != std::string_view::npos) return evaluate(expression);
    if (expression[0] >= '0' && expression[0] <= '9') return evaluate(expression);
    if (const RowCount* known = find(expression)) return *known;
    symbols_.push_back({std::string(expression), actual});
    return actual;
  }

  RowCount evaluate(std::string_view expression) {
    std::uint64_t value = 1;
    char operation = '*';
    for (std::size_t at = 0; at < expression.size();) {
      const std::size_t end = std::min(expression.find_first_of("*/", at), expression.size());
      const std::uint64_t term = constant(expression.substr(at, end - at));
      if (operation == '*') {
        value = std::min(value * term, kTooLarge);
      } else if (term == 0 || value % term != 0) {
        invalid(std::string(expression.substr(0, end)) + " is not whole: " + std::to_string(value) + "/" +
                std::to_string(term));
      } else {
        value /= term;
      }
      if (end < expression.size()) operation = expression[end];
      at = end + 1;
    }
    return {kNoDim, static_cast<std::uint32_t>(std::min(value, kTooLarge - 1))};
  }

  /// Operand types multiply and divide only constants: a symbol that stands for a dim of the run has no value here.
  std::uint64_t constant(std::string_view term) {
    if (term[0] >= '0' && term[0] <= '9') return std::stoul(std::string(term));
    const RowCount* known = find(term);
    if (known == nullptr || known->dim != kNoDim) invalid(std::string(term) + " is not a constant");
    return known->plus;
  }

  /// Against the operands before it.
  void check_output(std::size_t index) const {
    const Buffer& output = buffer(index);
    const std::string& output_name = signature_.operands[index].name;
    if (output.arena == ArenaName::weights)
      invalid(output_name + " lies in the weights arena, which kernels only read");
    for (std::size_t i = 0; i < index; ++i) {
      if (instruction_.operands[i] < 0) continue;
      const OperandSignature& operand = signature_.operands[i];
      if (operand.in_place && same_place(buffer(i), output)) continue;
      if (overlap(buffer(i), output)) {
        invalid(output_name + " overlaps " + operand.name + (operand.in_place ? " without being the same view" : ""));
      }
    }
  }

  static bool same_place(const Buffer& a, const Buffer& b) {
    return a.arena == b.arena && a.offset == b.offset && a.dtype == b.dtype && a.rows == b.rows &&
           a.columns == b.columns && a.row_stride == b.row_stride;
  }

  /// Whether two views share a byte. Views of one stride may lie side by side within it, as the thirds of qkv do.
  static bool overlap(const Buffer& a, const Buffer& b) {
    if (a.arena != b.arena || a.size_bytes == 0 || b.size_bytes == 0) return false;
    if (a.offset + a.size_bytes <= b.offset || b.offset + b.size_bytes <= a.offset) return false;
    const std::uint64_t stride = std::uint64_t{a.row_stride} * size_of(a.dtype);
    if (stride != std::uint64_t{b.row_stride} * size_of(b.dtype)) return true;
    const std::uint64_t a_to_b = (b.offset % stride + stride - a.offset % stride) % stride;
    const std::uint64_t b_to_a = (stride - a_to_b) % stride;
    return a_to_b < a.columns * size_of(a.dtype) || b_to_a < b.columns * size_of(b.dtype);
  }

  struct Symbol {
    std::string name;
    RowCount value;
  };

  const Program& program_;
  const Instruction& instruction_;
  const KernelSignature& signature_;
  const std::string name_;
  const DType activation_;
  std::vector<Symbol> symbols_;
  std::optional<DType> either_;
};

}  // namespace

void validate_instructions(const Program& program, DType activation) {
  for (std::size_t i = 0; i < program.instructions.size(); ++i) Checker(program, i, activation).check();
}

}  // namespace vitgraph
