// A CUDA graph: launches captured once and replayed.
#pragma once

#include <cuda_runtime_api.h>

#include <utility>

#include "backend/cuda/status.h"

namespace vitgraph::cuda {

class RecordedGraph {
 public:
  /// Captures the work that `launch_all` queues. Its kernels must have run before: a capture can't load them.
  /// @throws what `launch_all` throws; Error VG_DEVICE_FAILED
  template <typename LaunchAll>
  RecordedGraph(cudaStream_t stream, const LaunchAll& launch_all) : stream_(stream) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cannot begin the capture");
    cudaGraph_t graph = nullptr;
    try {
      launch_all();
    } catch (...) {
      cudaStreamEndCapture(stream, &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      cudaGetLastError();
      throw;
    }
    check(cudaStreamEndCapture(stream, &graph), "cannot end the capture");
    cudaError_t status = cudaGraphInstantiate(&graph_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "cannot instantiate the graph");
    status = cudaGraphUpload(graph_, stream);
    if (status != cudaSuccess) cudaGraphExecDestroy(graph_);
    check(status, "cannot upload the graph");
  }
  ~RecordedGraph() {
    if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
  }
  RecordedGraph(RecordedGraph&& other) noexcept
      : stream_(other.stream_), graph_(std::exchange(other.graph_, nullptr)) {}
  RecordedGraph& operator=(RecordedGraph&&) = delete;

  /// Launches on the stream of the capture.
  void launch() const { check(cudaGraphLaunch(graph_, stream_), "cannot launch the graph"); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace vitgraph::cuda
