// A decoded Program: what src/program.ts describes, in C++, validated. Plain data: no backend, no JavaScript.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/dtype.h"
#include "program/signatures.h"

namespace vitgraph {

/// PROGRAM_VERSION of src/program.ts.
inline constexpr std::uint32_t kProgramVersion = 4;
inline constexpr std::uint32_t kNoDim = 0xffffffffu;

/// In the order of ARENAS in src/program.ts.
enum class ArenaName : std::uint32_t { weights, io, scratch, cache };
inline constexpr std::uint32_t kArenaCount = 4;
inline constexpr std::array<const char*, kArenaCount> kArenaNames = {"weights", "io", "scratch", "cache"};

/// `counts[dim] + plus`, or `plus` alone where dim is kNoDim.
struct RowCount {
  std::uint32_t dim = kNoDim;
  std::uint32_t plus = 0;

  bool operator==(const RowCount&) const = default;
  std::size_t at(std::span<const std::uint32_t> counts) const {
    return (dim == kNoDim ? 0 : counts[dim]) + std::size_t{plus};
  }
};

struct Buffer {
  ArenaName arena;
  DType dtype;
  std::uint64_t offset;
  RowCount rows;
  std::uint32_t columns;
  std::uint32_t row_stride;
  /// Bytes from the first element to the end of the last one when every dim is at its capacity.
  std::uint64_t size_bytes;

  /// Bytes that `row_count` rows span.
  std::uint64_t span_bytes(std::uint64_t row_count) const {
    return row_count == 0 ? 0 : ((row_count - 1) * row_stride + columns) * size_of(dtype);
  }
};

struct Instruction {
  Kernel kernel;
  /// Indices into Program::buffers in the order of the signature; -1 where an optional one is left out.
  std::array<std::int32_t, kMaxOperands> operands;
  /// A u32, or the bits of an f32, as the signature says.
  std::array<std::uint32_t, kMaxScalars> scalars;
};

struct Program {
  std::vector<std::uint32_t> capacities;
  std::array<std::uint64_t, kArenaCount> arena_bytes;
  std::vector<Buffer> buffers;
  std::vector<Instruction> instructions;
};

/// Decodes and validates. @throws Error VG_PROGRAM_INVALID, naming the instruction and the operand.
Program decode_program(std::span<const std::uint32_t> words, DType activation);

/// The half of decode_program that knows what kernels ask of their operands.
void validate_instructions(const Program& program, DType activation);

/// "instruction 3 (linear)", for messages.
std::string name_of(const Program& program, std::size_t instruction);

}  // namespace vitgraph
