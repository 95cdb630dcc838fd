// The CUDA backend: NVIDIA GPUs of compute capability 8.0 and newer. Activations and weights are bf16, sums f32.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace vitgraph::cuda {

struct CudaOptions {
  /// Ordinal of the device, as CUDA_VISIBLE_DEVICES leaves them.
  int device = 0;
  /// Paths of libcublasLt to try, in order.
  std::vector<std::string> cublaslt_candidates;
  /// File that remembers which algorithms won; empty for none.
  std::string algorithm_cache;
  /// Programmatic dependent launch between kernels.
  bool programmatic = true;
};

/// @throws Error VG_BACKEND_UNAVAILABLE where there is no such device, or one that is too old.
std::unique_ptr<Backend> create_cuda_backend(const CudaOptions& options);

}  // namespace vitgraph::cuda
