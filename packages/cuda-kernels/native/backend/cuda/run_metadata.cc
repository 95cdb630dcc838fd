#include "backend/cuda/run_metadata.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/error.h"

namespace vitgraph::cuda {
namespace {

constexpr const char* kRemedy = "check the metadata that was staged for this run";

[[noreturn]] void bad(const std::string& fact) { throw Error("VG_ARGUMENT_INVALID", fact, kRemedy); }

[[noreturn]] void unsupported(const std::string& name, const std::string& fact) {
  throw Error("VG_PROGRAM_INVALID", name + ": " + fact, "use the CPU backend for this program");
}

bool overlap(const Buffer& a, const Buffer& b) {
  return a.arena == b.arena && a.offset < b.offset + b.size_bytes && b.offset < a.offset + a.size_bytes;
}

}  // namespace

RunMetadata::RunMetadata(const Program& program) : program_(program) {
  // Positions gathered from the cache were checked by the program that wrote them.
  std::vector<std::int32_t> from_cache;
  const auto add_positions = [&](std::int32_t buffer, std::size_t limit) {
    if (std::find(from_cache.begin(), from_cache.end(), buffer) != from_cache.end()) return;
    add({Role::positions, buffer, {limit, 0, 0}, -1});
  };
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    const Instruction& instruction = program.instructions[i];
    const auto& at = instruction.operands;
    const auto& scalars = instruction.scalars;
    const auto buffer = [&](std::size_t operand) -> const Buffer& {
      return program.buffers[static_cast<std::size_t>(at[operand])];
    };
    switch (instruction.kernel) {
      case Kernel::unpack_patches: {
        using namespace operands::unpack_patches;
        const std::size_t frame = std::size_t{scalars[0]} * scalars[2];
        const std::size_t patch = frame * scalars[1];
        if (buffer(CHANNEL_SCALE).row_stride != buffer(CHANNEL_SCALE).columns)
          unsupported(name_of(program, i), "the rows of channel_scale are strided");
        add({Role::patch_sources, at[PATCH_SOURCES], {frame, patch, patch * sizeof(float)}, at[PIXELS]});
        break;
      }
      case Kernel::rope:
      case Kernel::rope_qk: {
        using namespace operands::rope_qk;
        static_assert(operands::rope::POSITIONS == POSITIONS && operands::rope::ANGLES == ANGLES);
        add_positions(at[POSITIONS], buffer(ANGLES).rows.plus);
        break;
      }
      case Kernel::linear_rope: {
        using namespace operands::linear_rope;
        add_positions(at[POSITIONS], buffer(ANGLES).rows.plus);
        break;
      }
      case Kernel::linear_norm_rope: {
        using namespace operands::linear_norm_rope;
        add_positions(at[POSITIONS], buffer(ANGLES).rows.plus);
        break;
      }
      case Kernel::interpolate_rows: {
        using namespace operands::interpolate_rows;
        add({Role::row_index, at[INDEX], {0, 0, 0}, at[TABLE]});
        break;
      }
      case Kernel::gather_rows: {
        using namespace operands::gather_rows;
        add({Role::row_index, at[INDEX], {0, 0, 0}, at[TABLE]});
        if (buffer(TABLE).arena == ArenaName::cache) from_cache.push_back(at[Y]);
        break;
      }
      case Kernel::scatter_rows: {
        using namespace operands::scatter_rows;
        add({Role::scatter_index, at[INDEX], {0, 0, 0}, at[Y]});
        break;
      }
      case Kernel::assemble_rows: {
        using namespace operands::assemble_rows;
        add({Role::row_index, at[INDEX], {buffer(LEARNED).rows.plus, 0, 0}, at[X]});
        break;
      }
      case Kernel::linear_gather_rows: {
        using namespace operands::linear_gather_rows;
        add({Role::row_index, at[INDEX], {0, 0, 0}, at[TABLE]});
        break;
      }
      case Kernel::linear_statistics: {
        using namespace operands::linear_statistics;
        if ((at[TABLE] < 0) != (at[INDEX] < 0)) unsupported(name_of(program, i), "a table and an index come together");
        if (at[INDEX] >= 0) add({Role::row_index, at[INDEX], {0, 0, 0}, at[TABLE]});
        break;
      }
      case Kernel::attention: {
        using namespace operands::attention;
        add({Role::cu_seqlens, at[CU_SEQLENS], {0, 0, 0}, at[Q]});
        break;
      }
      default: break;
    }
  }
  for (std::size_t i = 0; i < program.instructions.size(); ++i) check_not_written(i);
}

void RunMetadata::add(const Index& index) {
  const Buffer& buffer = program_.buffers[static_cast<std::size_t>(index.buffer)];
  const std::string name = "buffer " + std::to_string(index.buffer);
  if (buffer.arena != ArenaName::io) {
    unsupported(name, "an index buffer lies outside the io arena, where the host could not check it");
  }
  // Most kernels read them through a plain pointer.
  if (buffer.row_stride != buffer.columns) unsupported(name, "the rows of an index buffer are strided");
  const auto known = std::find_if(indices_.begin(), indices_.end(), [&](const Index& other) {
    // Positions are many: check them once, against the tightest limit of all their uses.
    if (index.role == Role::positions) return other.role == index.role && other.buffer == index.buffer;
    return other == index;
  });
  if (known == indices_.end()) {
    indices_.push_back(index);
  } else {
    known->limits[0] = std::min(known->limits[0], index.limits[0]);
  }
}

void RunMetadata::check_not_written(std::size_t instruction) const {
  const Instruction& writer = program_.instructions[instruction];
  const KernelSignature& signature = signature_of(writer.kernel);
  for (std::size_t output = signature.first_output(); output < signature.operands.size(); ++output) {
    const Buffer& written = program_.buffers[static_cast<std::size_t>(writer.operands[output])];
    for (const Index& index : indices_) {
      if (!overlap(written, program_.buffers[static_cast<std::size_t>(index.buffer)])) continue;
      unsupported(name_of(program_, instruction),
                  "it writes to an index buffer, which the CUDA backend checks before the run");
    }
  }
}

void RunMetadata::check(const Submission& submission) const {
  for (const Index& index : indices_) {
    switch (index.role) {
      case Role::patch_sources: check_sources(submission, index); break;
      case Role::positions: check_positions(submission, index); break;
      case Role::cu_seqlens: check_bounds(submission, index); break;
      case Role::row_index:
      case Role::scatter_index: check_rows(submission, index); break;
    }
  }
}

std::vector<std::int32_t> RunMetadata::words(const Submission& submission, std::int32_t buffer) const {
  const Buffer& target = program_.buffers[static_cast<std::size_t>(buffer)];
  const std::size_t size = target.span_bytes(target.rows.at(submission.counts));
  if (size == 0) return {};
  const auto brought = filled(submission, buffer);
  if (brought.empty())
    bad("an index buffer (patch_sources, positions, cu_seqlens or index) is not among the run's inputs");
  const std::size_t reached = brought[0].first == 0 ? brought[0].second : 0;
  if (reached < size) {
    bad("an index buffer has " + std::to_string(reached) + " bytes, and this run's counts ask for " +
        std::to_string(size));
  }
  std::vector<std::int32_t> words(size / sizeof(std::int32_t));
  auto* bytes = reinterpret_cast<std::byte*>(words.data());
  for (const Transfer& input : submission.inputs) {
    const std::size_t start = input.buffer->offset + input.offset_bytes;
    const std::size_t begin = std::max<std::size_t>(start, target.offset);
    const std::size_t end = std::min<std::size_t>(start + input.bytes.size(), target.offset + size);
    if (begin < end) std::memcpy(bytes + (begin - target.offset), input.bytes.data() + (begin - start), end - begin);
  }
  return words;
}

std::vector<std::pair<std::size_t, std::size_t>> RunMetadata::filled(const Submission& submission,
                                                                     std::int32_t buffer) const {
  const Buffer& target = program_.buffers[static_cast<std::size_t>(buffer)];
  std::vector<std::pair<std::size_t, std::size_t>> stretches;
  for (const Transfer& input : submission.inputs) {
    const std::size_t start = input.buffer->offset + input.offset_bytes;
    const std::size_t begin = std::max<std::size_t>(start, target.offset);
    const std::size_t end = std::min<std::size_t>(start + input.bytes.size(), target.offset + target.size_bytes);
    if (begin < end) stretches.push_back({begin - target.offset, end - target.offset});
  }
  std::sort(stretches.begin(), stretches.end());
  std::size_t last = 0;
  for (std::size_t i = 1; i < stretches.size(); ++i) {
    if (stretches[i].first > stretches[last].second)
      stretches[++last] = stretches[i];
    else
      stretches[last].second = std::max(stretches[last].second, stretches[i].second);
  }
  if (!stretches.empty()) stretches.resize(last + 1);
  return stretches;
}

void RunMetadata::check_sources(const Submission& submission, const Index& index) const {
  const auto pixels = filled(submission, index.target);
  const auto sources = words(submission, index.buffer);
  // Patches are mostly contiguous: try the previous patch's range first.
  std::size_t guess = 0;
  for (std::size_t row = 0; row < sources.size(); ++row) {
    const auto source = static_cast<std::uint32_t>(sources[row]);
    const std::size_t format = source & 3u;
    if (format >= index.limits.size())
      bad("patch " + std::to_string(row) + " has pixel format " + std::to_string(format));
    const std::size_t begin = source & ~std::size_t{3};
    const std::size_t end = begin + index.limits[format];
    const auto holds = [&](const auto& stretch) { return stretch.first <= begin && end <= stretch.second; };
    if (guess < pixels.size() && holds(pixels[guess])) continue;
    guess = static_cast<std::size_t>(std::find_if(pixels.begin(), pixels.end(), holds) - pixels.begin());
    if (guess == pixels.size()) {
      bad("patch " + std::to_string(row) + " has its pixels at bytes " + std::to_string(begin) + " to " +
          std::to_string(end) + ", which this run does not bring");
    }
  }
}

void RunMetadata::check_positions(const Submission& submission, const Index& index) const {
  const auto positions = words(submission, index.buffer);
  for (std::size_t at = 0; at + 1 < positions.size(); at += 2) {
    const std::int32_t row = positions[at];
    const std::int32_t column = positions[at + 1];
    if (row >= 0 && column >= 0 && static_cast<std::size_t>(std::max(row, column)) < index.limits[0]) continue;
    bad("patch " + std::to_string(at / 2) + " is at (" + std::to_string(row) + ", " + std::to_string(column) +
        "), and angles has " + std::to_string(index.limits[0]) + " rows");
  }
}

void RunMetadata::check_rows(const Submission& submission, const Index& index) const {
  const auto rows = words(submission, index.buffer);
  // interpolate_rows has several indices per row.
  const std::size_t columns = program_.buffers[static_cast<std::size_t>(index.buffer)].columns;
  const std::size_t table_rows = program_.buffers[static_cast<std::size_t>(index.target)].rows.at(submission.counts);
  // Negative values name learned rows.
  const std::size_t learned = index.limits[0];
  std::vector<bool> named(index.role == Role::scatter_index ? table_rows : 0);
  // Text is made for bad rows only: a batch has hundreds of thousands of indices.
  const auto row = [&](std::size_t at) {
    return "row " + std::to_string(at / columns) + " of index is " + std::to_string(rows[at]);
  };
  for (std::size_t at = 0; at < rows.size(); ++at) {
    const std::int64_t value = rows[at];
    const bool known =
        value < 0 ? static_cast<std::size_t>(-1 - value) < learned : static_cast<std::size_t>(value) < table_rows;
    if (!known) {
      bad(row(at) + ", and the table has " + std::to_string(table_rows) + " rows" +
          (learned > 0 ? ", beside " + std::to_string(learned) + " learned ones" : ""));
    }
    if (named.empty()) continue;
    const auto target = static_cast<std::size_t>(value);
    if (named[target]) bad(row(at) + ", which an earlier row names too");
    named[target] = true;
  }
}

void RunMetadata::check_bounds(const Submission& submission, const Index& index) const {
  const auto bounds = words(submission, index.buffer);
  const std::size_t rows = program_.buffers[static_cast<std::size_t>(index.target)].rows.at(submission.counts);
  if (bounds.empty()) {
    if (rows > 0) bad("cu_seqlens has no rows, and there are " + std::to_string(rows) + " patches");
    return;
  }
  if (bounds[0] != 0) bad("cu_seqlens starts at " + std::to_string(bounds[0]) + " instead of 0");
  for (std::size_t i = 1; i < bounds.size(); ++i) {
    if (bounds[i] >= bounds[i - 1]) continue;
    bad("cu_seqlens falls from " + std::to_string(bounds[i - 1]) + " to " + std::to_string(bounds[i]) + " at row " +
        std::to_string(i));
  }
  if (static_cast<std::size_t>(bounds.back()) != rows) {
    bad("cu_seqlens ends at " + std::to_string(bounds.back()) + ", and there are " + std::to_string(rows) + " patches");
  }
}

}  // namespace vitgraph::cuda
