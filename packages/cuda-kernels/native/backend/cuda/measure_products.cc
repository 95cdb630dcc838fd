#include "backend/cuda/measure_products.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "backend/cuda/event.h"
#include "backend/cuda/status.h"

namespace vitgraph::cuda {
namespace {

/// Of the product that a program has most often: so many of them, and what stands between, are the layers that are timed.
/// Their weights together are beyond L2.
constexpr int kTimedLayers = 4;

/// The shortest of so many replays counts, after one that is not timed.
constexpr int kTimedReplays = 3;

/// A way takes the place of another if the layers then take so much less.
constexpr float kWorthwhile = 0.997f;

/// The products of one key.
struct Group {
  std::vector<std::shared_ptr<LinearStep>> products;
  /// The ways that come close to the best alone, the best first.
  std::vector<std::size_t> contenders;

  void take(std::size_t way) const {
    for (const auto& product : products) product->take(way);
  }
};

/// Those that the cache does not know, in the program's order. The others take the way that it remembers.
std::vector<Group> unknown_products(std::span<const MeasuredStep> steps, const AlgorithmCache& cache) {
  std::vector<Group> groups;
  for (const MeasuredStep& step : steps) {
    if (step.product == nullptr || step.product->recall(cache)) continue;
    const auto same_key = [&](const Group& group) { return group.products.front()->key() == step.product->key(); };
    const auto known = std::find_if(groups.begin(), groups.end(), same_key);
    if (known == groups.end()) groups.push_back({{step.product}, {}});
    else known->products.push_back(step.product);
  }
  return groups;
}

/// The layers that are timed: from the first to the last but one of `kTimedLayers` + 1 products of the most frequent key.
std::vector<MeasuredStep> timed_layers(std::span<const MeasuredStep> steps) {
  const auto count_of = [&](const std::string& key) {
    return std::count_if(steps.begin(), steps.end(), [&](const MeasuredStep& s) { return s.product && s.product->key() == key; });
  };
  std::string most_frequent;
  std::ptrdiff_t most = 0;
  for (const MeasuredStep& step : steps) {
    if (step.product == nullptr || step.product->key() == most_frequent) continue;
    const std::ptrdiff_t count = count_of(step.product->key());
    if (count <= most) continue;
    most = count;
    most_frequent = step.product->key();
  }
  std::vector<MeasuredStep> layers;
  int met = 0;
  for (const MeasuredStep& step : steps) {
    if (step.product && step.product->key() == most_frequent && ++met > kTimedLayers) break;
    if (met > 0 && step.runs_without_indices) layers.push_back(step);
  }
  return layers;
}

/// Milliseconds of the steps as a graph; infinite where one of them can't be launched.
float time_replayed(CudaDevice& device, const std::vector<MeasuredStep>& steps, const std::function<void()>& fill_operands) {
  constexpr float kNever = std::numeric_limits<float>::infinity();
  const cudaStream_t stream = device.stream();
  const kernels::Launch launch = device.launch(true);
  cudaGraph_t graph = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cannot begin the capture");
  cudaError_t status = cudaSuccess;
  for (const MeasuredStep& step : steps) {
    if (status == cudaSuccess) status = step.launch(launch);
  }
  const cudaError_t captured = cudaStreamEndCapture(stream, &graph);
  cudaGraphExec_t replay = nullptr;
  if (status == cudaSuccess && captured == cudaSuccess) status = cudaGraphInstantiate(&replay, graph, 0);
  if (graph != nullptr) cudaGraphDestroy(graph);
  if (status != cudaSuccess || replay == nullptr) {
    cudaGetLastError();
    return kNever;
  }
  Event start(Event::Kind::timing);
  Event stop(Event::Kind::timing);
  float shortest = kNever;
  for (int run = 0; run <= kTimedReplays; ++run) {
    fill_operands();
    start.record(stream);
    status = cudaGraphLaunch(replay, stream);
    stop.record(stream);
    if (status != cudaSuccess) break;
    stop.wait();
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start.get(), stop.get()), "cannot time the layers");
    if (run > 0) shortest = std::min(shortest, milliseconds);
  }
  cudaGraphExecDestroy(replay);
  check(status, "cannot launch the layers that are timed");
  return shortest;
}

/// Tries each group's contenders in their place, once round, and again as long as that changes something.
void choose_in_place(CudaDevice& device, std::vector<Group>& groups, const std::vector<MeasuredStep>& layers,
                     const std::function<void()>& fill_operands) {
  constexpr int kRounds = 2;
  const auto in_layers = [&](const Group& group) {
    return std::any_of(layers.begin(), layers.end(), [&](const MeasuredStep& s) { return s.product == group.products.front(); });
  };
  float shortest = time_replayed(device, layers, fill_operands);
  for (int round = 0; round < kRounds; ++round) {
    bool changed = false;
    for (const Group& group : groups) {
      if (group.contenders.size() < 2 || !in_layers(group)) continue;
      std::size_t best = group.products.front()->way();
      for (const std::size_t way : group.contenders) {
        if (way == best) continue;
        group.take(way);
        const float milliseconds = time_replayed(device, layers, fill_operands);
        if (milliseconds >= kWorthwhile * shortest) continue;
        shortest = milliseconds;
        best = way;
        changed = true;
      }
      group.take(best);
    }
    if (!changed) return;
  }
}

}  // namespace

void measure_products(CudaDevice& device, std::span<const MeasuredStep> steps, const std::function<void()>& fill_operands) {
  AlgorithmCache& cache = device.algorithms();
  std::vector<Group> groups = unknown_products(steps, cache);
  if (groups.empty()) return;
  for (Group& group : groups) {
    fill_operands();
    group.contenders = LinearStep::measure_alone(group.products, device.launch(true));
    group.take(group.contenders.front());
  }
  choose_in_place(device, groups, timed_layers(steps), fill_operands);
  for (const Group& group : groups) group.products.front()->remember(cache);
  cache.save();
  check(cudaStreamSynchronize(device.stream()), "the measurement of the matrix products failed");
}

}  // namespace vitgraph::cuda
