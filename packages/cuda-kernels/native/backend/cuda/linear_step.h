// One `linear` of a program and its candidate implementations: our own kernels, which skip padding rows, and cuBLASLt's
// algorithms, which compute them. Autotuning picks the fastest and caches the choice on disk.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/algorithm_cache.h"
#include "backend/cuda/cublaslt.h"
#include "kernels/common/linear.h"

namespace vitgraph::cuda {

/// Shared by all products of a device.
struct LinearTools {
  /// Whether the device runs Hopper's kernels.
  bool is_hopper;
  int multiprocessors;
  /// Null if the library was not found.
  std::shared_ptr<CublasLt> cublaslt;
  AlgorithmCache& cache;
  /// Device, driver and library: the cache key's part besides the shape.
  std::string machine;
};

class LinearStep {
 public:
  LinearStep(const LinearTools& tools, const kernels::LinearOperands& operands, kernels::Activation activation);

  /// Launches the candidate chosen by the cache or by `autotune`, else the first.
  cudaError_t launch(const kernels::Launch& launch) const { return candidates_[chosen_].run(launch); }

  /// Products of equal shape have the same key, and the same candidates in the same order.
  const std::string& key() const { return key_; }

  /// Finds the fastest candidate for steps of one key, unless the cache has it. The steps are timed one after another,
  /// as in a run, so that each reads its weights from memory and not from L2. Operands must hold readable data.
  static void autotune(const std::vector<std::shared_ptr<LinearStep>>& steps, const kernels::Launch& launch,
                       AlgorithmCache& cache);

 private:
  struct Candidate {
    /// As written to the cache file: "hopper 128x192", "portable", "cublaslt 3".
    std::string name;
    /// Also computes padding rows.
    bool computes_padding;
    std::function<cudaError_t(const kernels::Launch&)> run;
  };

  /// Takes the cached choice; false if there is none.
  bool choose(const AlgorithmCache& cache);
  void add_own(const LinearTools& tools, const kernels::LinearOperands& operands, kernels::Activation activation);
  void add_cublaslt(const LinearTools& tools, const kernels::LinearOperands& operands, kernels::Activation activation);

  std::string key_;
  std::vector<Candidate> candidates_;
  std::size_t chosen_ = 0;
};

}  // namespace vitgraph::cuda
