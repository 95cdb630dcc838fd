// From words to a Program: the encoding that src/program.ts documents at encodeProgram. Every count is checked before
// it is used: no input, however mangled, reads outside `words` or allocates more than a multiple of its size.
#include <algorithm>

#include "common/checked_product.h"
#include "common/error.h"
#include "program/program.h"

namespace vitgraph {
namespace {

constexpr std::uint32_t kMagic = 0x50475456u;  // "VTGP", little endian
constexpr std::size_t kHeaderWords = 14;
constexpr std::size_t kBufferWords = 8;
constexpr std::size_t kInstructionHeaderWords = 3;
/// Row counts, columns and strides stay below this: kernels hold them in 32 bits, and the bytes of a buffer fit 64.
constexpr std::uint64_t kMaxCount = 0x7fffffffu;

[[noreturn]] void invalid(const std::string& fact) {
  throw Error("VG_PROGRAM_INVALID", fact,
              "encode programs with encodeProgram of this version of @vitgraph/cuda-kernels");
}

class Reader {
 public:
  explicit Reader(std::span<const std::uint32_t> words) : words_(words) {}

  std::uint32_t next() { return words_[at_++]; }
  std::uint64_t next_long() {
    const std::uint64_t low = next();
    return low | static_cast<std::uint64_t>(next()) << 32;
  }
  std::size_t left() const { return words_.size() - at_; }

 private:
  std::span<const std::uint32_t> words_;
  std::size_t at_ = 0;
};

std::uint32_t count(Reader& reader, const std::string& what) {
  const std::uint32_t value = reader.next();
  if (value > kMaxCount) invalid(what + " is " + std::to_string(value) + ", above the limit of 2147483647");
  return value;
}

RowCount row_count(Reader& reader, const Program& program, const std::string& what) {
  const std::uint32_t dim = reader.next();
  if (dim != kNoDim && dim >= program.capacities.size()) {
    invalid(what + " counts its rows in dim " + std::to_string(dim) + " of " +
            std::to_string(program.capacities.size()));
  }
  return {dim, count(reader, what + ": rows.plus")};
}

Buffer buffer(Reader& reader, const Program& program, std::size_t index) {
  const std::string what = "buffer " + std::to_string(index);
  const std::uint32_t arena = reader.next();
  if (arena >= kArenaCount)
    invalid(what + " lies in arena " + std::to_string(arena) + " of " + std::to_string(kArenaCount));
  const std::uint32_t dtype = reader.next();
  if (dtype >= kDTypeCount)
    invalid(what + " has dtype " + std::to_string(dtype) + " of " + std::to_string(kDTypeCount));

  Buffer result{};
  result.arena = static_cast<ArenaName>(arena);
  result.dtype = static_cast<DType>(dtype);
  result.offset = reader.next_long();
  result.rows = row_count(reader, program, what);
  result.columns = count(reader, what + ": columns");
  result.row_stride = count(reader, what + ": rowStride");
  if (result.columns == 0) invalid(what + " has no columns");
  if (result.row_stride < result.columns) {
    invalid(what + " has a row stride of " + std::to_string(result.row_stride) + ", below its " +
            std::to_string(result.columns) + " columns");
  }
  if (result.offset % size_of(result.dtype) != 0) {
    invalid(what + ": offset " + std::to_string(result.offset) + " is not a multiple of " +
            std::to_string(size_of(result.dtype)) + ", the size of " + name_of(result.dtype));
  }
  const std::uint64_t rows = result.rows.at(program.capacities);
  const std::uint64_t room = program.arena_bytes[arena];
  if (rows > kMaxCount) {
    invalid(what + " has " + std::to_string(rows) + " rows at capacity, above the limit of 2147483647");
  }
  result.size_bytes = result.span_bytes(rows);
  if (result.offset > room || result.size_bytes > room - result.offset) {
    invalid(what + " does not fit its arena: " + std::to_string(rows) + " rows from byte " +
            std::to_string(result.offset) + " of the " + std::to_string(room) + " of " + kArenaNames[arena]);
  }
  return result;
}

Instruction instruction(Reader& reader, const Program& program, std::size_t index) {
  const std::string what = "instruction " + std::to_string(index);
  if (reader.left() < kInstructionHeaderWords) invalid(what + " is cut off");
  const std::uint32_t kernel = reader.next();
  if (kernel >= kKernelCount)
    invalid(what + " names kernel " + std::to_string(kernel) + " of " + std::to_string(kKernelCount));

  Instruction result{};
  result.kernel = static_cast<Kernel>(kernel);
  result.operands.fill(-1);
  const KernelSignature& signature = signature_of(result.kernel);
  const std::string named = what + " (" + signature.name + ")";
  const std::uint32_t operands = reader.next();
  const std::uint32_t scalars = reader.next();
  if (operands != signature.operands.size()) {
    invalid(named + " has " + std::to_string(operands) + " buffers, and its signature " +
            std::to_string(signature.operands.size()));
  }
  if (scalars != signature.scalars.size()) {
    invalid(named + " has " + std::to_string(scalars) + " scalars, and its signature " +
            std::to_string(signature.scalars.size()));
  }
  if (reader.left() < std::size_t{operands} + scalars) invalid(named + " is cut off");

  for (std::size_t i = 0; i < operands; ++i) {
    const auto operand = static_cast<std::int32_t>(reader.next());
    const OperandSignature& expected = signature.operands[i];
    if (operand == -1) {
      if (!expected.optional) invalid(named + " leaves out " + expected.name);
    } else if (operand < 0 || static_cast<std::size_t>(operand) >= program.buffers.size()) {
      invalid(named + ": " + expected.name + " is buffer " + std::to_string(operand) + " of " +
              std::to_string(program.buffers.size()));
    }
    result.operands[i] = operand;
  }
  for (std::size_t i = 0; i < scalars; ++i) result.scalars[i] = reader.next();
  return result;
}

}  // namespace

std::string name_of(const Program& program, std::size_t instruction) {
  return "instruction " + std::to_string(instruction) + " (" +
         signature_of(program.instructions[instruction].kernel).name + ")";
}

Program decode_program(std::span<const std::uint32_t> words, DType activation) {
  if (words.size() < kHeaderWords) {
    invalid("the program has " + std::to_string(words.size()) + " words, and its header alone " +
            std::to_string(kHeaderWords));
  }
  Reader reader(words);
  if (const std::uint32_t magic = reader.next(); magic != kMagic) {
    invalid("the program starts with " + std::to_string(magic) + " instead of the magic word " +
            std::to_string(kMagic));
  }
  if (const std::uint32_t version = reader.next(); version != kProgramVersion) {
    invalid("the program has version " + std::to_string(version) + ", and this backend reads version " +
            std::to_string(kProgramVersion));
  }
  const std::uint64_t dims = reader.next();
  const std::uint64_t buffers = reader.next();
  const std::uint64_t instructions = reader.next();
  if (const std::uint32_t total = reader.next(); total != words.size()) {
    invalid("the program says that it has " + std::to_string(total) + " words, and has " +
            std::to_string(words.size()));
  }
  if (kHeaderWords + dims + buffers * kBufferWords + instructions * kInstructionHeaderWords > words.size()) {
    invalid("the program is too short for " + std::to_string(dims) + " dims, " + std::to_string(buffers) +
            " buffers and " + std::to_string(instructions) + " instructions");
  }

  Program program;
  for (std::size_t i = 0; i < kArenaCount; ++i) {
    program.arena_bytes[i] = reader.next_long();
    if (program.arena_bytes[i] > kMaxBytes)
      invalid(std::string("the ") + kArenaNames[i] + " arena has more than 2^53 bytes");
  }
  for (std::size_t i = 0; i < dims; ++i) program.capacities.push_back(count(reader, "dim " + std::to_string(i)));
  for (std::size_t i = 0; i < buffers; ++i) program.buffers.push_back(buffer(reader, program, i));
  for (std::size_t i = 0; i < instructions; ++i) program.instructions.push_back(instruction(reader, program, i));
  if (reader.left() != 0) invalid(std::to_string(reader.left()) + " words are left over after the last instruction");
  validate_instructions(program, activation);
  return program;
}

}  // namespace vitgraph
