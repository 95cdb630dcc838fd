// The CPU backend: runs anywhere, and is the oracle for every other one. Activations are f32; weights stay in memory
// as the checkpoint has them.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"

namespace vitgraph::cpu {

struct CpuOptions {
  /// 0 means one for each physical core that the process may use.
  int threads = 0;
  /// "auto", or the name of an instruction set that this processor runs: for tests and comparisons.
  std::string simd = "auto";
  /// "auto" (the faster one on this processor), "openblas" or "blocked".
  std::string gemm = "auto";
};

std::unique_ptr<Backend> create_cpu_backend(const CpuOptions& options);

}  // namespace vitgraph::cpu
