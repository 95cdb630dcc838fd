// One `linear` of a program and the ways of computing it: our own kernels, which skip the rows that a run does not have,
// and cuBLASLt's algorithms, which compute the padding too. The fastest is found by measurement and remembered on disk.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/algorithm_cache.h"
#include "backend/cuda/cublaslt.h"
#include "kernels/common/linear.h"

namespace vitgraph::cuda {

/// What every product of a device shares.
struct LinearTools {
  /// Compute capability, 90 for Hopper.
  int architecture;
  int multiprocessors;
  /// Null where the library was not found.
  std::shared_ptr<CublasLt> cublaslt;
  AlgorithmCache& cache;
  /// Device, driver and library: what the cache's answers depend on besides the shape.
  std::string machine;
};

class LinearStep {
 public:
  LinearStep(const LinearTools& tools, const kernels::LinearOperands& operands, kernels::Activation activation);

  /// Runs the way that was chosen: by the cache or by `measure`, else the first.
  cudaError_t launch(const kernels::Launch& launch) const { return ways_[chosen_].run(launch); }

  /// Products of one shape have one key, and the same ways in the same order.
  const std::string& key() const { return key_; }

  /// Finds the fastest way for steps of one key, unless the cache knows it. They are timed one after the other, as a run
  /// has them, so that each finds its weights in memory and not in L2. Operands must hold what may be read.
  static void measure(const std::vector<std::shared_ptr<LinearStep>>& steps, const kernels::Launch& launch, AlgorithmCache& cache);

 private:
  struct Way {
    /// Stands in the cache file: "hopper 128x192", "portable", "cublaslt 3".
    std::string name;
    /// Computes the rows that a run does not have, too.
    bool computes_padding;
    std::function<cudaError_t(const kernels::Launch&)> run;
  };

  /// Takes the remembered way; false where there is none.
  bool choose(const AlgorithmCache& cache);
  void add_own(const LinearTools& tools, const kernels::LinearOperands& operands, kernels::Activation activation);
  void add_cublaslt(const LinearTools& tools, const kernels::LinearOperands& operands, kernels::Activation activation);

  std::string key_;
  std::vector<Way> ways_;
  std::size_t chosen_ = 0;
};

}  // namespace vitgraph::cuda
