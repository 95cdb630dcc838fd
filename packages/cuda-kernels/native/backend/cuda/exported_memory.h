// Device memory that other processes map through a CUDA IPC handle: a plain cudaMalloc block, since pool memory can't
// be exported. Writes use a separate stream and do not wait for runs.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <span>

#include "backend/backend.h"
#include "backend/cuda/cuda_device.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/stream.h"

namespace vitgraph::cuda {

class CudaExportedMemory final : public ExportedMemory {
 public:
  /// @throws Error VG_DEVICE_OUT_OF_MEMORY; VG_DEVICE_FAILED if the system does not allow IPC.
  CudaExportedMemory(std::shared_ptr<CudaDevice> device, std::size_t size_bytes);
  ~CudaExportedMemory() override;

  std::size_t size_bytes() const override { return memory_.size_bytes(); }
  std::span<const std::byte> handle() const override { return std::as_bytes(std::span(handle_.reserved)); }
  std::span<std::byte> staging() const override { return {staging_.data(), staging_.size_bytes()}; }
  void write(std::size_t offset, std::size_t bytes) override;

 private:
  std::shared_ptr<CudaDevice> device_;
  DeviceMemory memory_;
  PinnedMemory staging_;
  cudaIpcMemHandle_t handle_{};
  Stream stream_;
};

}  // namespace vitgraph::cuda
