// What the programs of one device share: its stream, its staging, its libraries. They hold it, so it lives as long as the
// last of them.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <optional>
#include <string>

#include "backend/cuda/algorithm_cache.h"
#include "backend/cuda/cublaslt.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/staging.h"
#include "kernels/common/launch.h"

namespace vitgraph::cuda {

class CudaDevice {
 public:
  explicit CudaDevice(const CudaOptions& options);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  /// Makes this the calling thread's device.
  void activate() const;

  const cudaDeviceProp& properties() const { return properties_; }
  int architecture() const { return properties_.major * 10 + properties_.minor; }
  cudaStream_t stream() const { return stream_; }
  Staging& staging() { return *staging_; }
  AlgorithmCache& algorithms() { return algorithms_; }
  const std::shared_ptr<CublasLt>& cublaslt() const { return cublaslt_; }
  /// Why each candidate before the one that was opened was not.
  const std::vector<std::string>& cublaslt_attempts() const { return cublaslt_attempts_; }
  /// Device, driver and library, for the algorithm cache.
  const std::string& machine() const { return machine_; }
  int driver_version() const { return driver_version_; }

  kernels::Launch launch(bool programmatic) const {
    return {stream_, properties_.multiProcessorCount, programmatic && programmatic_};
  }

 private:
  int ordinal_;
  bool programmatic_;
  int driver_version_ = 0;
  cudaDeviceProp properties_{};
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<Staging> staging_;
  AlgorithmCache algorithms_;
  std::vector<std::string> cublaslt_attempts_;
  std::shared_ptr<CublasLt> cublaslt_;
  std::string machine_;
};

}  // namespace vitgraph::cuda
