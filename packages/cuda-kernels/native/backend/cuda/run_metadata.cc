#include "backend/cuda/run_metadata.h"

#include <algorithm>
#include <string>

#include "common/error.h"

namespace vitgraph::cuda {
namespace {

constexpr const char* kRemedy = "check the metadata that was staged for this run";

[[noreturn]] void bad(const std::string& fact) { throw Error("VG_ARGUMENT_INVALID", fact, kRemedy); }

}  // namespace

RunMetadata::RunMetadata(const Program& program) : program_(program) {
  const auto add = [&](Index index) {
    const Buffer& buffer = program.buffers[static_cast<std::size_t>(index.buffer)];
    if (buffer.arena != ArenaName::io) {
      throw Error("VG_PROGRAM_INVALID", "an index buffer lies outside the io arena, where the host could not check it");
    }
    const bool known = std::any_of(indices_.begin(), indices_.end(), [&](Index& other) {
      if (other.role != index.role || other.buffer != index.buffer) return false;
      if (index.role == Role::row_index && other.target != index.target) return false;
      // Every use of the same buffer has its own limit: the tightest holds.
      if (index.limits[0] != 0) other.limits[0] = other.limits[0] == 0 ? index.limits[0] : std::min(other.limits[0], index.limits[0]);
      return true;
    });
    if (!known) indices_.push_back(index);
  };
  // Positions that a program gathers from the cache were checked when they came in: by the program that put them there.
  std::vector<std::int32_t> from_cache;
  const auto add_positions = [&](std::int32_t buffer, std::size_t limit) {
    if (std::find(from_cache.begin(), from_cache.end(), buffer) != from_cache.end()) return;
    add({Role::positions, buffer, {limit, 0, 0}, -1});
  };
  for (const Instruction& instruction : program.instructions) {
    const auto& at = instruction.operands;
    const auto& scalars = instruction.scalars;
    switch (instruction.kernel) {
      case Kernel::unpack_patches: {
        const std::size_t frame = std::size_t{scalars[0]} * scalars[2];
        const std::size_t patch = frame * scalars[1];
        add({Role::patch_sources, at[1], {frame, patch, patch * sizeof(float)}, at[0]});
        break;
      }
      case Kernel::position_embedding:
        add_positions(at[1], 0);
        break;
      case Kernel::rope:
      case Kernel::rope_qk:
        add_positions(at[1], program.buffers[static_cast<std::size_t>(at[2])].rows.plus);
        break;
      case Kernel::gather_rows:
        add({Role::row_index, at[1], {0, 0, 0}, at[0]});
        if (program.buffers[static_cast<std::size_t>(at[0])].arena == ArenaName::cache) from_cache.push_back(at[2]);
        break;
      case Kernel::scatter_rows:
        add({Role::row_index, at[1], {0, 0, 0}, at[2]});
        break;
      case Kernel::linear_gather_rows:
        add({Role::row_index, at[4], {0, 0, 0}, at[3]});
        break;
      case Kernel::linear_rope:
        add_positions(at[3], program.buffers[static_cast<std::size_t>(at[4])].rows.plus);
        break;
      case Kernel::attention:
        add({Role::cu_seqlens, at[3], {0, 0, 0}, at[0]});
        break;
      default:
        break;
    }
  }
}

void RunMetadata::check(const Submission& submission) const {
  for (const Index& index : indices_) {
    if (index.role == Role::patch_sources) check_sources(submission, index);
    if (index.role == Role::positions) check_positions(submission, index);
    if (index.role == Role::cu_seqlens) check_bounds(submission, index);
    if (index.role == Role::row_index) check_rows(submission, index);
  }
}

std::span<const std::int32_t> RunMetadata::cu_seqlens(const Submission& submission) const {
  for (const Index& index : indices_) {
    if (index.role == Role::cu_seqlens) return words(submission, index);
  }
  return {};
}

std::span<const std::int32_t> RunMetadata::words(const Submission& submission, const Index& index) const {
  const Buffer& buffer = program_.buffers[static_cast<std::size_t>(index.buffer)];
  const std::size_t count = buffer.rows.at(submission.counts) * buffer.columns;
  if (count == 0) return {};
  const std::span<const std::byte> bytes = transferred(submission, index.buffer);
  if (bytes.empty()) bad("an index buffer (patch_sources, positions, cu_seqlens or index) is not among the run's inputs");
  if (bytes.size() < count * sizeof(std::int32_t)) {
    bad("an index buffer has " + std::to_string(bytes.size()) + " bytes, and this run's counts ask for " +
        std::to_string(count * sizeof(std::int32_t)));
  }
  return {reinterpret_cast<const std::int32_t*>(bytes.data()), count};
}

std::span<const std::byte> RunMetadata::transferred(const Submission& submission, std::int32_t buffer) const {
  const Buffer& target = program_.buffers[static_cast<std::size_t>(buffer)];
  for (const Transfer& input : submission.inputs) {
    const std::uint64_t start = input.buffer->offset + input.offset_bytes;
    if (target.offset < start || target.offset >= start + input.bytes.size()) continue;
    const std::span<const std::byte> rest = std::span<const std::byte>(input.bytes).subspan(target.offset - start);
    return rest.first(std::min<std::size_t>(rest.size(), target.size_bytes));
  }
  return {};
}

std::vector<std::pair<std::size_t, std::size_t>> RunMetadata::filled(const Submission& submission, std::int32_t buffer) const {
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
    if (stretches[i].first > stretches[last].second) stretches[++last] = stretches[i];
    else stretches[last].second = std::max(stretches[last].second, stretches[i].second);
  }
  if (!stretches.empty()) stretches.resize(last + 1);
  return stretches;
}

void RunMetadata::check_sources(const Submission& submission, const Index& index) const {
  const auto pixels = filled(submission, index.target);
  const auto sources = words(submission, index);
  // Patches mostly follow each other: the stretch of the one before is the first guess.
  std::size_t guess = 0;
  for (std::size_t row = 0; row < sources.size(); ++row) {
    const auto source = static_cast<std::uint32_t>(sources[row]);
    const std::size_t format = source & 3u;
    if (format >= index.limits.size()) bad("patch " + std::to_string(row) + " has pixel format " + std::to_string(format));
    const std::size_t begin = source & ~std::size_t{3};
    const std::size_t end = begin + index.limits[format];
    const auto holds = [&](const auto& stretch) { return stretch.first <= begin && end <= stretch.second; };
    if (guess < pixels.size() && holds(pixels[guess])) continue;
    guess = static_cast<std::size_t>(std::find_if(pixels.begin(), pixels.end(), holds) - pixels.begin());
    if (guess == pixels.size()) {
      bad("patch " + std::to_string(row) + " has its pixels at bytes " + std::to_string(begin) + " to " + std::to_string(end) +
          ", which this run does not bring");
    }
  }
}

void RunMetadata::check_positions(const Submission& submission, const Index& index) const {
  const auto positions = words(submission, index);
  for (std::size_t at = 0; at + 3 < positions.size(); at += 4) {
    const std::int32_t row = positions[at];
    const std::int32_t column = positions[at + 1];
    const bool inside = row >= 0 && row < positions[at + 2] && column >= 0 && column < positions[at + 3];
    const auto largest = static_cast<std::size_t>(std::max(row, column));
    if (inside && (index.limits[0] == 0 || largest < index.limits[0])) continue;
    bad("patch " + std::to_string(at / 4) + " stands at (" + std::to_string(row) + ", " + std::to_string(column) +
        ") of a grid of " + std::to_string(positions[at + 2]) + " × " + std::to_string(positions[at + 3]) +
        (index.limits[0] == 0 ? "" : ", with angles for " + std::to_string(index.limits[0]) + " positions"));
  }
}

void RunMetadata::check_rows(const Submission& submission, const Index& index) const {
  const auto rows = words(submission, index);
  const std::size_t table_rows = program_.buffers[static_cast<std::size_t>(index.target)].rows.at(submission.counts);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (rows[row] >= 0 && static_cast<std::size_t>(rows[row]) < table_rows) continue;
    bad("row " + std::to_string(row) + " of index is " + std::to_string(rows[row]) + ", and the table has " +
        std::to_string(table_rows) + " rows");
  }
}

void RunMetadata::check_bounds(const Submission& submission, const Index& index) const {
  const auto bounds = words(submission, index);
  const std::size_t rows = program_.buffers[static_cast<std::size_t>(index.target)].rows.at(submission.counts);
  if (bounds.empty()) {
    if (rows > 0) bad("cu_seqlens has no rows, and there are " + std::to_string(rows) + " patches");
    return;
  }
  if (bounds[0] != 0) bad("cu_seqlens starts at " + std::to_string(bounds[0]) + " instead of 0");
  for (std::size_t i = 1; i < bounds.size(); ++i) {
    if (bounds[i] >= bounds[i - 1]) continue;
    bad("cu_seqlens falls from " + std::to_string(bounds[i - 1]) + " to " + std::to_string(bounds[i]) + " at row " + std::to_string(i));
  }
  if (static_cast<std::size_t>(bounds.back()) != rows) {
    bad("cu_seqlens ends at " + std::to_string(bounds.back()) + ", and there are " + std::to_string(rows) + " patches");
  }
}

}  // namespace vitgraph::cuda
