#include "backend/cuda/device_memory.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "backend/cuda/status.h"

namespace vitgraph::cuda {
namespace {

std::string mebibytes(std::size_t bytes) { return std::to_string((bytes + (1u << 20) - 1) >> 20) + " MiB"; }

}  // namespace

// An empty allocation still gets a distinct address, so that every arena has one.
DeviceMemory::DeviceMemory(std::size_t size_bytes) : size_bytes_(size_bytes) {
  const cudaError_t status = cudaMalloc(reinterpret_cast<void**>(&data_), std::max<std::size_t>(size_bytes, 1));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    cudaMemGetInfo(&free_bytes, &total_bytes);
    throw Error("VG_DEVICE_OUT_OF_MEMORY",
                mebibytes(size_bytes) + " of device memory were asked for, and " + mebibytes(free_bytes) + " of " +
                    mebibytes(total_bytes) + " are free",
                "use smaller token budgets, or leave more of the card to vitgraph");
  }
  check(status, "cannot allocate device memory");
}

DeviceMemory::~DeviceMemory() { cudaFree(data_); }

PinnedMemory::PinnedMemory(std::size_t size_bytes) : size_bytes_(size_bytes) {
  const cudaError_t status = cudaMallocHost(reinterpret_cast<void**>(&data_), std::max<std::size_t>(size_bytes, 1));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Error("VG_DEVICE_OUT_OF_MEMORY", "the host has no " + mebibytes(size_bytes) + " of pinned memory",
                "leave more of the host's memory to the process, or raise its limit of locked memory (ulimit -l)");
  }
  check(status, "cannot allocate pinned host memory");
}

PinnedMemory::~PinnedMemory() { cudaFreeHost(data_); }

}  // namespace vitgraph::cuda
