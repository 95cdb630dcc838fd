// A launched run: its results are on the device, or will be. It holds the device's gate from its launch until its
// results have been staged.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/cuda_device.h"
#include "backend/cuda/download_buffer.h"

namespace vitgraph::cuda {

class CudaRun final : public Run {
 public:
  /// Closes the gate, which must be open. The kernels launched next belong to this run.
  CudaRun(std::shared_ptr<CudaDevice> device, std::vector<DownloadBuffer::Piece> outputs,
          const std::atomic<bool>& cancelled);
  ~CudaRun() override;

  /// Called before and after the launch, on the beginning thread.
  void note_start() { timer_.start(device_->stream()); }
  void note_end() { timer_.stop(device_->stream()); }

  RunResult finish() override;

 private:
  void open_gate();

  std::shared_ptr<CudaDevice> device_;
  std::vector<DownloadBuffer::Piece> outputs_;
  const std::atomic<bool>& cancelled_;
  Timer& timer_;
  bool holds_gate_ = true;
};

}  // namespace vitgraph::cuda
