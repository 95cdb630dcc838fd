#include "backend/cuda/linear_step.h"

#include <algorithm>
#include <limits>

#include "backend/cuda/recorded_graph.h"
#include "backend/cuda/status.h"
#include "backend/cuda/timer.h"
#include "kernels/common/linear_alignment.h"
#include "kernels/sm90/linear/linear.h"
#include "kernels/smxx/activation/activation.h"
#include "kernels/smxx/add/add.h"
#include "kernels/smxx/linear/linear.h"
#include "kernels/smxx/rope/rope.h"

namespace vitgraph::cuda {
namespace {

/// Each candidate's time is the minimum of this many runs: disturbances only add time. Candidates are interleaved, so
/// that all are measured at the same clocks.
constexpr int kTimedRuns = 3;

/// Steps in a candidate's first measurement: if weights are large, together they exceed L2; if small, it does not
/// matter.
constexpr std::size_t kFirstLookSteps = 8;
/// A candidate slower than the best by this factor in its first measurement is dropped.
constexpr float kClearlyBehind = 1.25f;
/// A candidate slower by this factor over all of its steps is dropped too: repeated runs differ by less.
constexpr float kBehind = 1.05f;

/// A candidate that computes padding must be this much faster on a full budget, since most runs are not full.
constexpr float kPaddingHandicap = 1.1f;

/// Common alignment of all matrix addresses, up to the largest that matters. A view may start anywhere in a row.
std::uint32_t alignment_of(const kernels::LinearOperands& o) {
  std::uint32_t bytes = 256;
  while (!kernels::is_aligned(o.x.data, bytes) || !kernels::is_aligned(o.weight.data, bytes) ||
         !kernels::is_aligned(o.residual.data, bytes) || !kernels::is_aligned(o.y.data, bytes)) {
    bytes /= 2;
  }
  return bytes;
}

/// The library adds a residual before the activation. A residual after it needs a separate kernel, and the product must
/// not have overwritten it.
bool loses_residual(const kernels::LinearOperands& o, kernels::Activation activation) {
  return activation != kernels::Activation::none && o.residual.data != nullptr && o.residual.data == o.y.data;
}

/// Version of the cached results. Increment it when tiles get faster or slower.
constexpr int kTileVersion = 6;

std::string key_of(const LinearTools& tools, const kernels::LinearOperands& o, kernels::Activation activation) {
  const auto number = [](auto value) { return std::to_string(value) + " "; };
  const std::uint32_t alignment = alignment_of(o);
  // A build with other tiles, or tiles of other speed, has other results.
  return tools.machine + " linear of " + number(std::size(kernels::sm90::kLinearTileNames)) + "v" +
         number(kTileVersion) + number(o.rows.capacity) + number(o.columns) + number(o.inner) + number(o.x.row_stride) +
         number(o.y.row_stride) + number(static_cast<int>(activation)) +
         (o.weight.row_stride != o.inner ? "weight rows of " + number(o.weight.row_stride) : "") +
         (alignment < 256 ? "aligned to " + number(alignment) : "") + (o.bias != nullptr ? "bias " : "") +
         (o.residual.data != nullptr ? "residual " : "") + (o.residual_rows != nullptr ? "rows " : "") +
         (o.statistics.data != nullptr ? "statistics " : "") + (o.norm.statistics.data != nullptr ? "norm " : "") +
         (loses_residual(o, activation) ? "in place " : "") + (o.rotation.angles.data != nullptr ? "rotation" : "");
}

}  // namespace

LinearStep::LinearStep(const LinearTools& tools, const kernels::LinearOperands& operands,
                       kernels::Activation activation)
    : key_(key_of(tools, operands, activation)) {
  add_own(tools, operands, activation);
  // The library supports no residual with a row table, no statistics and no norms.
  const bool known = operands.residual_rows == nullptr && operands.statistics.data == nullptr &&
                     operands.norm.statistics.data == nullptr;
  if (tools.cublaslt && known && !loses_residual(operands, activation)) add_cublaslt(tools, operands, activation);
  choose(tools.cache);
}

bool LinearStep::choose(const AlgorithmCache& cache) {
  const auto remembered = cache.find(key_);
  if (!remembered) return false;
  const auto found = std::find_if(candidates_.begin(), candidates_.end(),
                                  [&](const Candidate& candidate) { return candidate.name == *remembered; });
  if (found == candidates_.end()) return false;
  chosen_ = static_cast<std::size_t>(found - candidates_.begin());
  return true;
}

void LinearStep::add_own(const LinearTools& tools, const kernels::LinearOperands& o, kernels::Activation activation) {
  // Hopper's kernels lack the registers for both an activation and a residual; no tower has both.
  const bool both = activation != kernels::Activation::none && o.residual.data != nullptr;
  if (!tools.is_hopper || both || !kernels::linear_takes_vectors(o)) {
    candidates_.push_back({"portable", false, [=](const kernels::Launch& launch) {
                             return kernels::smxx::launch_linear(launch, o, activation);
                           }});
    return;
  }
  // The tile with the lowest estimate comes first: it runs if nothing was measured.
  auto best = kernels::sm90::choose_linear_tile({o.rows.capacity, o.columns, o.inner}, tools.multiprocessors);
  // The largest tile leaves no shared memory for norms.
  const bool norm = o.norm.statistics.data != nullptr;
  if (norm && best == kernels::sm90::LinearTile::rows256_columns192)
    best = kernels::sm90::LinearTile::rows192_columns192_cluster1x2;
  for (const bool first : {true, false}) {
    for (std::size_t i = 0; i < std::size(kernels::sm90::kLinearTileNames); ++i) {
      const auto tile = static_cast<kernels::sm90::LinearTile>(i);
      if ((tile == best) != first || (norm && tile == kernels::sm90::LinearTile::rows256_columns192)) continue;
      candidates_.push_back(
          {std::string("hopper ") + kernels::sm90::kLinearTileNames[i], false,
           [=](const kernels::Launch& launch) { return kernels::sm90::launch_linear(launch, o, activation, tile); }});
    }
  }
}

void LinearStep::add_cublaslt(const LinearTools& tools, const kernels::LinearOperands& o,
                              kernels::Activation activation) {
  using kernels::Activation;
  // The library adds the residual before the activation, and of our activations supports only tanh GELU. Anything else
  // runs as separate kernels.
  const bool plain = activation == Activation::none;
  const bool residual_inside = o.residual.data != nullptr && plain;
  const bool residual_after = o.residual.data != nullptr && !plain;
  const LinearShape shape{
      .rows = o.rows.capacity,
      .columns = o.columns,
      .depth = o.inner,
      .weight_stride = o.weight.row_stride,
      .x_stride = o.x.row_stride,
      .residual_stride = residual_inside ? o.residual.row_stride : 0,
      .y_stride = o.y.row_stride,
      .bias = o.bias != nullptr,
      .residual = residual_inside,
      .gelu_tanh = activation == Activation::gelu_tanh,
      .alignment = alignment_of(o),
  };
  const LinearPointers pointers{o.x.data, o.weight.data, o.bias, o.residual.data, o.y.data};
  const std::shared_ptr<MatmulPlan> plan = tools.cublaslt->plan(shape, pointers);
  if (plan == nullptr) return;
  const bool activation_after = !plain && !shape.gelu_tanh;
  const bool rotation_after = o.rotation.angles.data != nullptr;
  const kernels::View<const kernels::Bf16> y{o.y.data, o.y.row_stride};
  int index = 0;
  for (const MatmulAlgorithm& algorithm : tools.cublaslt->propose(*plan)) {
    candidates_.push_back({"cublaslt " + std::to_string(index++), true,
                           [=, library = tools.cublaslt](const kernels::Launch& launch) -> cudaError_t {
                             if (!library->run(*plan, pointers, algorithm, launch.stream)) return cudaErrorNotSupported;
                             if (rotation_after)
                               return kernels::smxx::launch_rope_pairs(launch, o.rotation, o.y, o.rows);
                             if (activation_after) {
                               const cudaError_t status =
                                   kernels::smxx::launch_activation(launch, {y, o.y, o.rows, o.columns}, activation);
                               if (status != cudaSuccess) return status;
                             }
                             if (!residual_after) return cudaSuccess;
                             return kernels::smxx::launch_add(launch, {y, o.residual, o.y, o.rows, o.columns});
                           }});
  }
}

void LinearStep::autotune(const std::vector<std::shared_ptr<LinearStep>>& steps, const kernels::Launch& launch,
                          AlgorithmCache& cache) {
  LinearStep& first = *steps.front();
  if (first.candidates_.size() == 1) return;
  if (first.choose(cache)) {
    for (const auto& step : steps) step->choose(cache);
    return;
  }
  constexpr float kNever = std::numeric_limits<float>::infinity();
  Timer timer;
  const auto run = [&](std::size_t candidate, std::size_t count) {
    cudaError_t status = cudaSuccess;
    for (std::size_t i = 0; i < std::min(count, steps.size()) && status == cudaSuccess; ++i) {
      if (candidate < steps[i]->candidates_.size()) status = steps[i]->candidates_[candidate].run(launch);
    }
    return status;
  };
  const auto weighed = [&](std::size_t candidate, float milliseconds) {
    return milliseconds * (first.candidates_[candidate].computes_padding ? kPaddingHandicap : 1.0f);
  };
  std::vector<float> first_looks;
  for (std::size_t candidate = 0; candidate < first.candidates_.size(); ++candidate) {
    // The first launch of a kernel loads it.
    cudaError_t status = run(candidate, 1);
    timer.start(launch.stream);
    if (status == cudaSuccess) status = run(candidate, kFirstLookSteps);
    timer.stop(launch.stream);
    const float milliseconds = timer.milliseconds();
    if (status != cudaSuccess) cudaGetLastError();
    first_looks.push_back(status == cudaSuccess ? weighed(candidate, milliseconds) : kNever);
  }
  // Time graphs: launching a product of few rows takes the host longer than running it takes the device.
  struct Contender {
    std::size_t candidate;
    RecordedGraph products;
    float shortest;
  };
  std::vector<Contender> contenders;
  const float limit = kClearlyBehind * *std::min_element(first_looks.begin(), first_looks.end());
  for (std::size_t candidate = 0; candidate < first.candidates_.size(); ++candidate) {
    if (first_looks[candidate] > limit) continue;
    const auto run_all = [&] { check(run(candidate, steps.size()), "cannot record matrix products"); };
    contenders.push_back({candidate, RecordedGraph(launch.stream, run_all), kNever});
  }
  float shortest = kNever;
  for (int turn = 0; turn < kTimedRuns; ++turn) {
    for (Contender& contender : contenders) {
      if (contender.shortest > kBehind * shortest && turn > 0) continue;
      timer.start(launch.stream);
      contender.products.launch();
      timer.stop(launch.stream);
      contender.shortest = std::min(contender.shortest, weighed(contender.candidate, timer.milliseconds()));
      shortest = std::min(shortest, contender.shortest);
    }
  }
  const auto best = std::min_element(contenders.begin(), contenders.end(),
                                     [](const Contender& a, const Contender& b) { return a.shortest < b.shortest; });
  cache.store(first.key_, first.candidates_[best->candidate].name);
  for (const auto& step : steps) step->choose(cache);
}

}  // namespace vitgraph::cuda
