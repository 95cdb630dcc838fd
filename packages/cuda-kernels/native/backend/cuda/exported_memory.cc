#include "backend/cuda/exported_memory.h"

#include <utility>

#include "backend/cuda/status.h"

namespace vitgraph::cuda {
namespace {

/// The driver maps whole 2 MiB pages into the other process. A smaller block would expose the rest of its page.
constexpr std::size_t kPageBytes = std::size_t{2} << 20;
constexpr std::size_t kStagingBytes = std::size_t{4} << 20;

std::size_t whole_pages(std::size_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes; }

}  // namespace

CudaExportedMemory::CudaExportedMemory(std::shared_ptr<CudaDevice> device, std::size_t size_bytes)
    : device_(std::move(device)), memory_(whole_pages(size_bytes)), staging_(kStagingBytes) {
  check(cudaIpcGetMemHandle(&handle_, memory_.data()), "cannot export device memory");
  stream_ = make_stream();
}

CudaExportedMemory::~CudaExportedMemory() { cudaSetDevice(device_->ordinal()); }

void CudaExportedMemory::write(std::size_t offset, std::size_t bytes) {
  device_->activate();
  check(cudaMemcpyAsync(memory_.data() + offset, staging_.data(), bytes, cudaMemcpyHostToDevice, stream_.get()),
        "cannot copy to exported memory");
  check(cudaStreamSynchronize(stream_.get()), "cannot copy to exported memory");
}

}  // namespace vitgraph::cuda
