// Matrix products by cuBLASLt, loaded at run time: building and loading need neither the library nor its headers.
// Declares the part of its API that is used here, with the library's own values.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/device_memory.h"

namespace vitgraph::cuda {

/// y = activation(x · weightᵀ + bias) + residual, all bf16, accumulated in f32.
struct LinearShape {
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t depth;
  std::int64_t weight_stride;
  std::int64_t x_stride;
  std::int64_t residual_stride;
  std::int64_t y_stride;
  bool bias;
  bool residual;
  bool gelu_tanh;
  /// Common alignment of all matrix addresses, in bytes: a power of two, up to 256.
  std::uint32_t alignment;

  bool operator==(const LinearShape&) const = default;
};

struct LinearPointers {
  const void* x;
  const void* weight;
  const void* bias;
  const void* residual;
  void* y;
};

/// The library's opaque encoding of an algorithm. Its bytes may be stored on disk for the same library version.
struct MatmulAlgorithm {
  std::array<std::uint64_t, 8> data;
};

/// The descriptors of one product.
class MatmulPlan;

class CublasLt {
 public:
  /// Opens the first candidate that works, or returns null; `attempts` receives the failure of each one before it.
  static std::shared_ptr<CublasLt> open(const std::vector<std::string>& candidates, std::vector<std::string>& attempts);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  const std::string& path() const { return path_; }
  /// For example 130100.
  std::size_t version() const;

  /// Null if the library does not support the shape.
  std::shared_ptr<MatmulPlan> plan(const LinearShape& shape, const LinearPointers& pointers);
  /// The library's heuristic results, best first.
  std::vector<MatmulAlgorithm> propose(const MatmulPlan& plan) const;
  /// False if the library rejects the algorithm for this plan.
  bool run(const MatmulPlan& plan, const LinearPointers& pointers, const MatmulAlgorithm& algorithm,
           cudaStream_t stream) const;

  struct Api;

 private:
  CublasLt() = default;

  std::unique_ptr<Api> api_;
  void* library_ = nullptr;
  void* handle_ = nullptr;
  std::string path_;
  std::unique_ptr<DeviceMemory> workspace_;
};

}  // namespace vitgraph::cuda
