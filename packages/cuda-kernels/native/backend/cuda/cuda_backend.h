// The CUDA backend: NVIDIA GPUs of compute capability 8.0 and newer. Activations and weights are bf16, sums f32.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace vitgraph::cuda {

struct CudaOptions {
  /// Device ordinal, after CUDA_VISIBLE_DEVICES.
  int device = 0;
  /// Paths of libcublasLt to try, in order.
  std::vector<std::string> cublaslt_candidates;
  /// File of the autotune results; empty for none.
  std::string algorithm_cache;
  /// Programmatic dependent launch between kernels.
  bool programmatic = true;
};

/// @throws Error VG_BACKEND_UNAVAILABLE if the device does not exist or is too old.
std::unique_ptr<Backend> create_cuda_backend(const CudaOptions& options);

}  // namespace vitgraph::cuda
