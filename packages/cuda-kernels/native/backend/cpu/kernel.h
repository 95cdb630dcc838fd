// CPU kernels: each is a function over the resolved operands of one instruction, and a table lists all of them.
//
// Kernels run on the device's worker thread and distribute their chunks over its pool. They allocate nothing: the table
// says how much memory they need besides their operands, and it is allocated when the program is loaded. The program
// has been validated, so kernels do not check shapes and dtypes again. The *contents* of index buffers (positions,
// sequence bounds, patch sources) come from the host with each run: every kernel checks them before it uses them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "backend/cpu/gemm/gemm.h"
#include "backend/cpu/simd/simd.h"
#include "backend/cpu/thread_pool.h"
#include "common/dtype.h"
#include "common/error.h"
#include "program/program.h"

namespace vitgraph::cpu {

/// A buffer with its address.
struct Operand {
  std::byte* data = nullptr;
  DType dtype = DType::f32;
  RowCount rows;
  std::size_t columns = 0;
  std::size_t row_stride = 0;
};

struct Call;
using KernelFunction = void (*)(const Call& call);

/// An instruction with its kernel's function and its operands' addresses.
struct Step {
  KernelFunction run;
  std::array<Operand, kMaxOperands> operands;
  std::array<std::uint32_t, kMaxScalars> scalars;
  std::byte* workspace;
  std::string name;
};

/// The real rows of an operand: by this run's counts, not the capacity.
template <typename T>
struct Matrix {
  T* data;
  std::size_t rows;
  std::size_t columns;
  std::size_t row_stride;

  T* row(std::size_t index) const { return data + index * row_stride; }
};

/// A device's threads and instruction sets.
struct Engine {
  ThreadPool& pool;
  const Simd& simd;
  const Gemm& gemm;
};

struct Call {
  const Step& step;
  std::span<const std::uint32_t> counts;
  const Engine& engine;
  /// `scratch_bytes` for each thread of the pool, as much as the program's most demanding kernel asked for.
  std::byte* scratch;
  std::size_t scratch_bytes;

  bool has(std::size_t operand) const { return step.operands[operand].data != nullptr; }

  template <typename T>
  Matrix<T> matrix(std::size_t operand) const {
    const Operand& o = step.operands[operand];
    return {reinterpret_cast<T*>(o.data), o.rows.at(counts), o.columns, o.row_stride};
  }

  std::uint32_t count(std::size_t scalar) const { return step.scalars[scalar]; }
  float number(std::size_t scalar) const { return bits_to_float(step.scalars[scalar]); }

  template <typename T>
  T* thread_scratch(int thread) const {
    return reinterpret_cast<T*>(scratch + static_cast<std::size_t>(thread) * scratch_bytes);
  }

  /// For index buffers whose contents point outside of their target.
  [[noreturn]] void bad_contents(const std::string& fact) const {
    throw Error("VG_ARGUMENT_INVALID", step.name + ": " + fact, "check the metadata that was staged for this run");
  }
};

/// The buffer of an operand that is present.
inline const Buffer& operand_of(const Program& program, const Instruction& instruction, std::size_t operand) {
  return program.buffers[static_cast<std::size_t>(instruction.operands[operand])];
}

/// Checks that an index names rows of its table.
inline void check_row_index(const Call& call, const Matrix<const std::int32_t>& index, std::size_t table_rows) {
  for (std::size_t row = 0; row < index.rows; ++row) {
    for (std::size_t column = 0; column < index.columns; ++column) {
      const std::int32_t target = index.row(row)[column];
      if (target >= 0 && static_cast<std::size_t>(target) < table_rows) continue;
      call.bad_contents("row " + std::to_string(row) + " of index is " + std::to_string(target) +
                        ", and the table has " + std::to_string(table_rows) + " rows");
    }
  }
}

/// Rows in one chunk of an elementwise loop: some 16 Ki elements, which outweigh the cost of taking a chunk.
inline std::size_t rows_per_chunk(std::size_t columns) {
  const std::size_t rows = (std::size_t{1} << 14) / columns;
  return rows == 0 ? 1 : rows;
}

/// Checks that positions are rows of the table of angles.
void check_positions(const Call& call, const Matrix<const std::int32_t>& positions, std::size_t table_rows);

/// Calls `body(row)` for every row, in chunks over the pool.
template <typename Body>
void for_each_row(const Call& call, std::size_t rows, std::size_t columns, Body&& body) {
  const std::size_t chunk_rows = rows_per_chunk(columns);
  call.engine.pool.parallel_for((rows + chunk_rows - 1) / chunk_rows, [&](std::size_t chunk, int) {
    const std::size_t end = std::min(rows, (chunk + 1) * chunk_rows);
    for (std::size_t row = chunk * chunk_rows; row < end; ++row) body(row);
  });
}

/// A row of the table. A null function means no bytes.
struct KernelEntry {
  Kernel kernel;
  KernelFunction run;
  /// Bytes that an instruction has for itself, from its dims' capacities.
  std::size_t (*workspace_bytes)(const Program& program, const Instruction& instruction);
  /// Bytes that each thread may use while the kernel runs. Threads share nothing through them.
  std::size_t (*scratch_bytes)(const Program& program, const Instruction& instruction, const Engine& engine);
};

/// The table, by Kernel.
const KernelEntry& kernel_entry(Kernel kernel);

void unpack_patches(const Call& call);
void linear(const Call& call);
void linear_rope(const Call& call);
void linear_statistics(const Call& call);
void linear_norm(const Call& call);
void linear_norm_rope(const Call& call);
void layernorm(const Call& call);
void activation(const Call& call);
void add(const Call& call);
void interpolate_rows(const Call& call);
void rope(const Call& call);
void rope_qk(const Call& call);
void attention(const Call& call);
void rmsnorm(const Call& call);
void gate(const Call& call);
void gather_rows(const Call& call);
void scatter_rows(const Call& call);
void linear_gather_rows(const Call& call);
void mean_groups(const Call& call);
void assemble_rows(const Call& call);
void rmsnorm_groups(const Call& call);
void clamp(const Call& call);
void standardize(const Call& call);
std::size_t attention_workspace_bytes(const Program& program, const Instruction& instruction);
std::size_t attention_scratch_bytes(const Program& program, const Instruction& instruction, const Engine& engine);
std::size_t scatter_rows_workspace_bytes(const Program& program, const Instruction& instruction);
std::size_t linear_scratch_bytes(const Program& program, const Instruction& instruction, const Engine& engine);
std::size_t layernorm_scratch_bytes(const Program& program, const Instruction& instruction, const Engine& engine);
std::size_t rmsnorm_scratch_bytes(const Program& program, const Instruction& instruction, const Engine& engine);
std::size_t rmsnorm_groups_scratch_bytes(const Program& program, const Instruction& instruction, const Engine& engine);
std::size_t standardize_scratch_bytes(const Program& program, const Instruction& instruction, const Engine& engine);

}  // namespace vitgraph::cpu
