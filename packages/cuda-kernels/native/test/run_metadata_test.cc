// What the CUDA backend refuses at load and before a run.
#include "backend/cuda/run_metadata.h"

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "common/error.h"
#include "program/program.h"
#include "test/expect.h"

namespace vitgraph {
namespace {

/// The message of the error that `body` throws, or "" where it throws none.
std::string message_of(const std::function<void()>& body) {
  try {
    body();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

/// A program of two dims, "rows" (capacity 8) and "segments" (capacity 4), whose buffers follow each other in io.
class ProgramBuilder {
 public:
  ProgramBuilder() { program_.capacities = {8, 4}; }

  std::int32_t add(DType dtype, RowCount rows, std::uint32_t columns, ArenaName arena = ArenaName::io) {
    Buffer buffer{arena, dtype, 0, rows, columns, columns, 0};
    buffer.size_bytes = buffer.span_bytes(rows.at(program_.capacities));
    std::uint64_t& end = program_.arena_bytes[static_cast<std::size_t>(arena)];
    buffer.offset = end;
    end += buffer.size_bytes;
    program_.buffers.push_back(buffer);
    return static_cast<std::int32_t>(program_.buffers.size()) - 1;
  }

  void run(Kernel kernel, std::vector<std::int32_t> operands, std::vector<std::uint32_t> scalars = {}) {
    Instruction instruction{kernel, {}, {}};
    instruction.operands.fill(-1);
    std::copy(operands.begin(), operands.end(), instruction.operands.begin());
    std::copy(scalars.begin(), scalars.end(), instruction.scalars.begin());
    program_.instructions.push_back(instruction);
  }

  Program& program() { return program_; }

 private:
  Program program_{};
};

constexpr RowCount kRows{0, 0};
constexpr RowCount kBounds{1, 1};
constexpr std::uint32_t kScale = 0x3f800000u;

std::string load(const Program& program) {
  return message_of([&] { cuda::RunMetadata metadata(program); });
}

/// Host bytes for a buffer.
struct Input {
  std::int32_t buffer;
  std::vector<std::int32_t> values;
  std::size_t offset_bytes = 0;
};

std::string run(const Program& program, std::vector<std::uint32_t> counts, std::vector<Input> inputs) {
  Submission submission{std::move(counts), {}, {}};
  for (Input& input : inputs) {
    submission.inputs.push_back({&program.buffers[static_cast<std::size_t>(input.buffer)],
                                 std::as_writable_bytes(std::span(input.values)), input.offset_bytes});
  }
  return message_of([&] { cuda::RunMetadata(program).check(submission); });
}

struct Attention {
  ProgramBuilder builder;
  std::int32_t qkv = builder.add(DType::bf16, kRows, 128, ArenaName::scratch);
  std::int32_t y = builder.add(DType::bf16, kRows, 128, ArenaName::scratch);
  std::int32_t bounds = builder.add(DType::i32, kBounds, 1);
  std::int32_t windows = builder.add(DType::i32, kBounds, 1);

  void attend(std::int32_t cu_seqlens, std::uint32_t heads = 2) {
    builder.run(Kernel::attention, {qkv, qkv, qkv, cu_seqlens, y}, {heads, kScale});
  }
};

void lists_of_segments() {
  Attention attention;
  attention.attend(attention.bounds);
  attention.attend(attention.windows);
  attention.attend(attention.bounds, 1);
  const Program& program = attention.builder.program();
  expect("attention ops may differ in their lists and heads", load(program), "");
  expect("each with segments of its own, as many as its list has",
         run(program, {5, 3}, {{attention.bounds, {0, 2, 2, 5}}, {attention.windows, {0, 0, 4, 5}}}), "");
  expect("every list must end with the rows",
         run(program, {5, 1}, {{attention.bounds, {0, 5}}, {attention.windows, {0, 4}}}),
         "cu_seqlens ends at 4, and there are 5 patches");
  expect("every list must be brought", run(program, {5, 1}, {{attention.bounds, {0, 5}}}),
         "an index buffer (patch_sources, positions, cu_seqlens or index) is not among the run's inputs");

  Attention lengths;
  const std::int32_t fixed = lengths.builder.add(DType::bf16, {kNoDim, 8}, 128, ArenaName::scratch);
  lengths.attend(lengths.bounds);
  lengths.builder.run(Kernel::attention, {fixed, fixed, fixed, lengths.bounds, lengths.y}, {2, kScale});
  expect("the list must end with the rows of each attention op",
         run(lengths.builder.program(), {3, 1}, {{lengths.bounds, {0, 3}}}),
         "cu_seqlens ends at 3, and there are 8 patches");
}

void each_use_is_checked() {
  ProgramBuilder builder;
  const std::int32_t y = builder.add(DType::bf16, kRows, 24, ArenaName::scratch);
  const std::int32_t sources = builder.add(DType::i32, kRows, 1);
  const std::int32_t scale = builder.add(DType::f32, {kNoDim, 3}, 2, ArenaName::weights);
  const std::int32_t small = builder.add(DType::u8, {kNoDim, 2}, 12);
  const std::int32_t large = builder.add(DType::u8, {kNoDim, 2}, 48);
  builder.run(Kernel::unpack_patches, {large, sources, scale, y}, {3, 2, 4});
  const Program one = builder.program();
  builder.run(Kernel::unpack_patches, {small, sources, scale, y}, {3, 2, 4});
  const std::vector<Input> inputs{
      {large, std::vector<std::int32_t>(24)}, {small, std::vector<std::int32_t>(6)}, {sources, {48}}};
  expect("pixels that are there", run(one, {1, 0}, inputs), "");
  expect("the second use of one index leads into its own buffer", run(builder.program(), {1, 0}, inputs),
         "patch 0 has its pixels at bytes 48 to 60, which this run does not bring");

  builder.program().buffers[static_cast<std::size_t>(scale)].row_stride = 3;
  expect("strided rows of channel_scale", load(builder.program()),
         "instruction 0 (unpack_patches): the rows of channel_scale are strided");

  ProgramBuilder ropes;
  const std::int32_t x = ropes.add(DType::bf16, kRows, 8, ArenaName::scratch);
  const std::int32_t positions = ropes.add(DType::i32, kRows, 2);
  const std::int32_t many = ropes.add(DType::f32, {kNoDim, 9}, 4, ArenaName::weights);
  const std::int32_t few = ropes.add(DType::f32, {kNoDim, 5}, 4, ArenaName::weights);
  ropes.run(Kernel::rope, {x, positions, many, x}, {1});
  ropes.run(Kernel::rope, {x, positions, few, x}, {1});
  expect("positions keep to the smallest table of angles", run(ropes.program(), {1, 0}, {{positions, {0, 7}}}),
         "patch 0 is at (0, 7), and angles has 5 rows");
}

struct Scatter {
  ProgramBuilder builder;
  std::int32_t x = builder.add(DType::bf16, kRows, 8, ArenaName::scratch);
  std::int32_t index = builder.add(DType::i32, kRows, 1);
  std::int32_t y = builder.add(DType::bf16, {kNoDim, 6}, 8, ArenaName::cache);
  Scatter() { builder.run(Kernel::scatter_rows, {x, index, y}); }
};

void rows_of_tables() {
  Scatter scatter;
  Program& program = scatter.builder.program();
  expect("rows that differ", run(program, {3, 0}, {{scatter.index, {5, 0, 3}}}), "");
  expect("a row named twice", run(program, {3, 0}, {{scatter.index, {5, 0, 5}}}),
         "row 2 of index is 5, which an earlier row names too");
  expect("a row beyond the table", run(program, {3, 0}, {{scatter.index, {5, 6, 3}}}),
         "row 1 of index is 6, and the table has 6 rows");
  expect("no index at all", run(program, {3, 0}, {}),
         "an index buffer (patch_sources, positions, cu_seqlens or index) is not among the run's inputs");
  expect("too short an index", run(program, {3, 0}, {{scatter.index, {5, 0}}}),
         "an index buffer has 8 bytes, and this run's counts ask for 12");
  expect("an index in parts", run(program, {3, 0}, {{scatter.index, {3}, 8}, {scatter.index, {5, 0}}}), "");
  expect("a transfer over another one counts",
         run(program, {3, 0}, {{scatter.index, {5, 0, 3}}, {scatter.index, {99}, 4}}),
         "row 1 of index is 99, and the table has 6 rows");

  program.buffers[static_cast<std::size_t>(scatter.index)].row_stride = 2;
  expect("a strided index", load(program), "buffer 1: the rows of an index buffer are strided");

  Scatter elsewhere;
  elsewhere.builder.program().buffers[static_cast<std::size_t>(elsewhere.index)].arena = ArenaName::scratch;
  expect("an index outside of io", load(elsewhere.builder.program()),
         "buffer 1: an index buffer lies outside the io arena, where the host could not check it");

  Scatter written;
  const std::int32_t table = written.builder.add(DType::i32, {kNoDim, 4}, 1, ArenaName::cache);
  const std::int32_t which = written.builder.add(DType::i32, kRows, 1);
  written.builder.run(Kernel::gather_rows, {table, which, written.index});
  expect("an index that the program computes", load(written.builder.program()),
         "instruction 1 (gather_rows): it writes to an index buffer, which the CUDA backend checks before the run");
}

}  // namespace

void test_run_metadata() {
  lists_of_segments();
  each_use_is_checked();
  rows_of_tables();
}

}  // namespace vitgraph
