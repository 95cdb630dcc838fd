#include "backend/cuda/linear_step.h"

#include <algorithm>
#include <limits>

#include "backend/cuda/status.h"
#include "kernels/smxx/activation/activation.h"
#include "kernels/smxx/add/add.h"

namespace vitgraph::cuda {
namespace {

/// The shortest of so many runs counts: what disturbs a run only ever makes it longer.
constexpr int kTimedRuns = 3;

std::string key_of(const LinearTools& tools, const LinearOperands& o) {
  const auto number = [](auto value) { return std::to_string(value) + " "; };
  return tools.machine + " linear " + number(o.rows.capacity) + number(o.columns) + number(o.depth) + number(o.x.row_stride) +
         number(o.y.row_stride) + number(static_cast<int>(o.activation)) + (o.bias != nullptr ? "bias " : "") +
         (o.residual.data != nullptr ? "residual" : "");
}

float time_once(const std::function<cudaError_t(const kernels::Launch&)>& run, const kernels::Launch& launch, cudaEvent_t start,
                cudaEvent_t stop) {
  cudaEventRecord(start, launch.stream);
  const cudaError_t status = run(launch);
  cudaEventRecord(stop, launch.stream);
  check(cudaEventSynchronize(stop), "cannot time a matrix product");
  if (status != cudaSuccess) {
    cudaGetLastError();
    return std::numeric_limits<float>::infinity();
  }
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start, stop), "cannot time a matrix product");
  return milliseconds;
}

}  // namespace

LinearStep::LinearStep(const LinearTools& tools, const LinearOperands& operands) : key_(key_of(tools, operands)) {
  if (tools.cublaslt) add_cublaslt(tools, operands);
  if (ways_.empty()) {
    throw Error("VG_BACKEND_UNAVAILABLE", "no matrix product is available for this device",
                "install the CUDA toolkit's cuBLAS, or name libcublasLt in VITGRAPH_CUBLASLT");
  }
  const auto remembered = tools.cache.find(key_);
  if (!remembered) return;
  const auto found = std::find_if(ways_.begin(), ways_.end(), [&](const Way& way) { return way.name == *remembered; });
  if (found == ways_.end()) return;
  chosen_ = static_cast<std::size_t>(found - ways_.begin());
  known_ = true;
}

void LinearStep::add_cublaslt(const LinearTools& tools, const LinearOperands& o) {
  using kernels::Activation;
  // The library adds the residual before it applies the activation, and knows of ours only the tanh form of GELU. What
  // does not fit follows in kernels of its own.
  const bool plain = o.activation == Activation::none;
  const bool residual_inside = o.residual.data != nullptr && plain;
  const LinearShape shape{
      .rows = o.rows.capacity,
      .columns = o.columns,
      .depth = o.depth,
      .x_stride = o.x.row_stride,
      .residual_stride = residual_inside ? o.residual.row_stride : 0,
      .y_stride = o.y.row_stride,
      .bias = o.bias != nullptr,
      .residual = residual_inside,
      .gelu_tanh = o.activation == Activation::gelu_tanh,
  };
  const LinearPointers pointers{o.x.data, o.weight, o.bias, o.residual.data, o.y.data};
  const std::shared_ptr<MatmulPlan> plan = tools.cublaslt->plan(shape, pointers);
  if (plan == nullptr) return;
  const bool activation_after = !plain && !shape.gelu_tanh;
  const bool residual_after = o.residual.data != nullptr && !residual_inside;
  const kernels::View<const kernels::Bf16> y{o.y.data, o.y.row_stride};
  int index = 0;
  for (const MatmulAlgorithm& algorithm : tools.cublaslt->propose(*plan)) {
    ways_.push_back({"cublaslt " + std::to_string(index++),
                     [=, library = tools.cublaslt](const kernels::Launch& launch) -> cudaError_t {
                       if (!library->run(*plan, pointers, algorithm, launch.stream)) return cudaErrorNotSupported;
                       if (activation_after) {
                         const cudaError_t status =
                             kernels::smxx::launch_activation(launch, {y, o.y, o.rows, o.columns}, o.activation);
                         if (status != cudaSuccess) return status;
                       }
                       if (!residual_after) return cudaSuccess;
                       return kernels::smxx::launch_add(launch, {y, o.residual, o.y, o.rows, o.columns});
                     }});
  }
}

void LinearStep::measure(const kernels::Launch& launch, AlgorithmCache& cache) {
  if (known_ || ways_.size() == 1) return;
  // Another step of the same shape may have been measured meanwhile.
  if (const auto answer = cache.find(key_)) {
    for (std::size_t i = 0; i < ways_.size(); ++i) {
      if (ways_[i].name == *answer) chosen_ = i;
    }
    known_ = true;
    return;
  }
  cudaEvent_t start;
  cudaEvent_t stop;
  check(cudaEventCreate(&start), "cannot create an event");
  check(cudaEventCreate(&stop), "cannot create an event");
  float best = std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < ways_.size(); ++i) {
    float shortest = time_once(ways_[i].run, launch, start, stop);
    for (int run = 0; run < kTimedRuns; ++run) shortest = std::min(shortest, time_once(ways_[i].run, launch, start, stop));
    if (shortest >= best) continue;
    best = shortest;
    chosen_ = i;
  }
  cudaEventDestroy(start);
  cudaEventDestroy(stop);
  known_ = true;
  cache.store(key_, ways_[chosen_].name);
}

}  // namespace vitgraph::cuda
