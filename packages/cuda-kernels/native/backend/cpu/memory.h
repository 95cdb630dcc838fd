// Host memory straight from the system: pages that are never touched cost nothing, and come zeroed.
#pragma once

#include <cstddef>

#include "backend/backend.h"

namespace vitgraph::cpu {

class HostMemory final : public Memory {
 public:
  /// @throws Error VG_DEVICE_OUT_OF_MEMORY
  explicit HostMemory(std::size_t size_bytes);
  ~HostMemory() override;
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  std::size_t size_bytes() const override { return size_bytes_; }
  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_bytes_;
};

}  // namespace vitgraph::cpu
