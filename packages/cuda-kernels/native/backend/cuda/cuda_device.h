// State shared by all programs of one device: the compute stream, upload and download paths, libraries. Programs hold a
// reference, so it lives as long as the last of them.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "backend/cuda/algorithm_cache.h"
#include "backend/cuda/cublaslt.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/download_buffer.h"
#include "backend/cuda/launch_gate.h"
#include "backend/cuda/stream.h"
#include "backend/cuda/timer.h"
#include "backend/cuda/upload_ring.h"
#include "kernels/common/launch.h"

namespace vitgraph::cuda {

/// Of CUDA's number for a version: "13.0" for 13000.
std::string version_text(int version);

class CudaDevice {
 public:
  explicit CudaDevice(const CudaOptions& options);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  /// Makes this the calling thread's device.
  void activate() const;

  int ordinal() const { return ordinal_; }
  const cudaDeviceProp& properties() const { return properties_; }
  /// Whether it runs the kernels of sm_90a.
  bool is_hopper() const { return properties_.major == 9 && properties_.minor == 0; }
  cudaStream_t stream() const { return stream_.get(); }
  UploadRing& uploads() { return *uploads_; }
  DownloadBuffer& downloads() { return *downloads_; }
  LaunchGate& gate() { return gate_; }
  /// Two timers alternate: the gate lets a run launch once the previous one is being finished, and by then the one
  /// before that is done.
  Timer& next_timer() { return (*timers_)[timer_turn_++ % timers_->size()]; }
  AlgorithmCache& algorithms() { return algorithms_; }
  const std::shared_ptr<CublasLt>& cublaslt() const { return cublaslt_; }
  /// The failure of each candidate before the one that opened.
  const std::vector<std::string>& cublaslt_attempts() const { return cublaslt_attempts_; }
  /// Device, driver and library, for the algorithm cache.
  const std::string& machine() const { return machine_; }
  int driver_version() const { return driver_version_; }
  /// Identifies the GPU across processes and containers: "0000:1b:00.0".
  std::string pci_bus_id() const;

  kernels::Launch launch(bool programmatic) const {
    return {stream(), properties_.multiProcessorCount, programmatic && programmatic_};
  }

 private:
  int ordinal_;
  bool programmatic_;
  int driver_version_ = 0;
  cudaDeviceProp properties_{};
  Stream stream_;
  std::unique_ptr<UploadRing> uploads_;
  std::unique_ptr<DownloadBuffer> downloads_;
  LaunchGate gate_;
  std::optional<std::array<Timer, 2>> timers_;
  std::size_t timer_turn_ = 0;
  AlgorithmCache algorithms_;
  std::vector<std::string> cublaslt_attempts_;
  std::shared_ptr<CublasLt> cublaslt_;
  std::string machine_;
};

}  // namespace vitgraph::cuda
