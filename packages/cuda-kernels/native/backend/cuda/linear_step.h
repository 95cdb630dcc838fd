// One `linear` of a program and the ways of computing it: our own kernels, which skip the rows that a run does not have,
// and cuBLASLt's algorithms, which compute the padding too. The fastest is found by measurement and remembered on disk.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/algorithm_cache.h"
#include "backend/cuda/cublaslt.h"
#include "kernels/common/activation.h"
#include "kernels/common/launch.h"

namespace vitgraph::cuda {

struct LinearOperands {
  kernels::View<const kernels::Bf16> x;
  const kernels::Bf16* weight;
  /// Null where left out.
  const kernels::Bf16* bias;
  kernels::View<const kernels::Bf16> residual;
  kernels::View<kernels::Bf16> y;
  kernels::Rows rows;
  std::int32_t columns;
  std::int32_t depth;
  kernels::Activation activation;
};

/// What every product of a device shares.
struct LinearTools {
  /// Compute capability, 90 for Hopper.
  int architecture;
  /// Null where the library was not found.
  std::shared_ptr<CublasLt> cublaslt;
  AlgorithmCache& cache;
  /// Device, driver and library: what the cache's answers depend on besides the shape.
  std::string machine;
};

class LinearStep {
 public:
  LinearStep(const LinearTools& tools, const LinearOperands& operands);

  /// Runs the way that was chosen: by the cache or by `measure`, else the first.
  cudaError_t launch(const kernels::Launch& launch) const { return ways_[chosen_].run(launch); }

  /// Times every way on the stream, unless the cache knew the answer. Operands must hold what may be read.
  void measure(const kernels::Launch& launch, AlgorithmCache& cache);

  /// For people: "own" or "cublaslt 3".
  const std::string& way() const { return ways_[chosen_].name; }

 private:
  struct Way {
    /// Stands in the cache file.
    std::string name;
    std::function<cudaError_t(const kernels::Launch&)> run;
  };

  void add_cublaslt(const LinearTools& tools, const LinearOperands& operands);

  std::string key_;
  std::vector<Way> ways_;
  std::size_t chosen_ = 0;
  bool known_ = false;
};

}  // namespace vitgraph::cuda
