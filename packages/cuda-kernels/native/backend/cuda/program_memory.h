// Device addresses of a loaded program's buffers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "backend/cuda/device_memory.h"

namespace vitgraph::cuda {

/// Refers to its program and arenas, which must outlive it.
class ProgramMemory {
 public:
  ProgramMemory(const Program& program, const Arenas& arenas) : program_(program), arenas_(arenas) {}

  const Program& program() const { return program_; }
  const Buffer& buffer(std::int32_t index) const { return program_.buffers[static_cast<std::size_t>(index)]; }

  std::byte* address(std::int32_t index) const {
    const Buffer& at = buffer(index);
    return static_cast<const DeviceMemory&>(*arenas_[static_cast<std::size_t>(at.arena)]).data() + at.offset;
  }

  std::int32_t row_capacity(RowCount rows) const { return static_cast<std::int32_t>(rows.at(program_.capacities)); }

 private:
  const Program& program_;
  const Arenas& arenas_;
};

}  // namespace vitgraph::cuda
