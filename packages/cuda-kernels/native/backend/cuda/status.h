// CUDA runtime status codes as vitgraph errors.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "common/error.h"

namespace vitgraph::cuda {

/// @throws Error VG_DEVICE_FAILED unless `status` is success.
inline void check(cudaError_t status, const std::string& what) {
  if (status == cudaSuccess) return;
  // Clears the runtime's last error, which a later call would report as its own.
  cudaGetLastError();
  throw Error("VG_DEVICE_FAILED", what + ": " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ")",
              "see `nvidia-smi` for the card's state; after a kernel's fault the process has to be restarted");
}

}  // namespace vitgraph::cuda
