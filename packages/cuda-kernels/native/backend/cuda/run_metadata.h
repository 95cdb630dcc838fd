// What the host says of a run, checked before the device follows it: patch sources, positions, segment bounds, rows of tables. On the
// card a wrong index would be a fault that ends the process; here it is an error of one submission.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace vitgraph::cuda {

class RunMetadata {
 public:
  /// Finds the index buffers among the operands. @throws Error VG_PROGRAM_INVALID where one is not in the io arena.
  explicit RunMetadata(const Program& program);

  /// @throws Error VG_ARGUMENT_INVALID naming the buffer and the first bad row.
  void check(const Submission& submission) const;

  /// The bounds of this submission's segments; empty where the program has no attention.
  std::span<const std::int32_t> cu_seqlens(const Submission& submission) const;

 private:
  enum class Role { patch_sources, positions, cu_seqlens, row_index };
  struct Index {
    Role role;
    std::int32_t buffer;
    /// patch_sources: bytes of a patch by pixel format. positions: rows of the angle table, or 0.
    std::array<std::size_t, 3> limits;
    /// patch_sources: the buffer that the offsets point into. row_index: the table.
    std::int32_t target;
  };

  std::span<const std::int32_t> words(const Submission& submission, const Index& index) const;
  /// What this submission brings for a buffer from its start on: a transfer to it, or one to memory that it is part of.
  std::span<const std::byte> transferred(const Submission& submission, std::int32_t buffer) const;
  /// The stretches of a buffer, [begin, end) in bytes of it and ascending, that this submission's transfers fill.
  std::vector<std::pair<std::size_t, std::size_t>> filled(const Submission& submission, std::int32_t buffer) const;
  void check_sources(const Submission& submission, const Index& index) const;
  void check_positions(const Submission& submission, const Index& index) const;
  void check_bounds(const Submission& submission, const Index& index) const;
  void check_rows(const Submission& submission, const Index& index) const;

  const Program& program_;
  std::vector<Index> indices_;
};

}  // namespace vitgraph::cuda
