// Checks the index buffers of a run (patch sources, positions, segment bounds, rows of tables) on the host. On the
// device a bad index would be a fault that ends the process; here it fails one submission.
//
// The check covers exactly the bytes that the kernels read: an index buffer is in the io arena, every run uploads all
// of it, and no instruction writes to it. The one exception is positions that a program gathers from the cache: the
// program that wrote them was checked. Free of CUDA, so that its tests need no GPU.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace vitgraph::cuda {

class RunMetadata {
 public:
  /// Finds the index buffers among the operands.
  /// @throws Error VG_PROGRAM_INVALID if one is not in the io arena, is strided or is written to.
  explicit RunMetadata(const Program& program);

  /// @throws Error VG_ARGUMENT_INVALID naming the buffer and the first bad row.
  void check(const Submission& submission) const;

  /// An index buffer's real rows after all transfers, applied in their order.
  std::vector<std::int32_t> words(const Submission& submission, std::int32_t buffer) const;

 private:
  /// A scatter_index is a row_index without repetitions.
  enum class Role { patch_sources, positions, cu_seqlens, row_index, scatter_index };
  struct Index {
    Role role;
    std::int32_t buffer;
    /// patch_sources: bytes of a patch by pixel format. positions: rows of the angle table. row_index: learned rows.
    std::array<std::size_t, 3> limits;
    /// patch_sources: the buffer that the offsets point into. cu_seqlens: the queries. row_index, scatter_index: the
    /// table. positions: -1.
    std::int32_t target;

    bool operator==(const Index&) const = default;
  };

  void add(const Index& index);
  void check_not_written(std::size_t instruction) const;
  /// The ranges of a buffer that this submission's transfers fill: [begin, end) in bytes, ascending.
  std::vector<std::pair<std::size_t, std::size_t>> filled(const Submission& submission, std::int32_t buffer) const;
  void check_sources(const Submission& submission, const Index& index) const;
  void check_positions(const Submission& submission, const Index& index) const;
  void check_bounds(const Submission& submission, const Index& index) const;
  void check_rows(const Submission& submission, const Index& index) const;

  const Program& program_;
  std::vector<Index> indices_;
};

}  // namespace vitgraph::cuda
