// The CPU backend: runs anywhere, and is the oracle for every other one. Activations are f32; weights stay in memory
// as the checkpoint has them.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace vitgraph::cpu {

struct CpuOptions {
  /// 0 means one for each physical core that the process may use.
  int threads = 0;
};

std::unique_ptr<Backend> create_cpu_backend(const CpuOptions& options);

}  // namespace vitgraph::cpu
