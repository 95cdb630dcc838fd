// RAII device memory and pinned host memory. Allocated only while loading.
#pragma once

#include <cstddef>

#include "backend/backend.h"

namespace vitgraph::cuda {

class DeviceMemory final : public Memory {
 public:
  /// @throws Error VG_DEVICE_OUT_OF_MEMORY with the requested and the free size.
  explicit DeviceMemory(std::size_t size_bytes);
  ~DeviceMemory() override;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  std::byte* data() const { return data_; }
  std::size_t size_bytes() const override { return size_bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_bytes_;
};

/// Page-locked host memory, for DMA.
class PinnedMemory {
 public:
  /// @throws Error VG_DEVICE_OUT_OF_MEMORY
  explicit PinnedMemory(std::size_t size_bytes);
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  std::byte* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_bytes_;
};

}  // namespace vitgraph::cuda
