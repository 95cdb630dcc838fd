#include "backend/cuda/cuda_run.h"

#include <utility>

namespace vitgraph::cuda {

CudaRun::CudaRun(std::shared_ptr<CudaDevice> device, std::vector<DownloadBuffer::Piece> outputs,
                 const std::atomic<bool>& cancelled)
    : device_(std::move(device)), outputs_(std::move(outputs)), cancelled_(cancelled), timer_(device_->next_timer()) {
  device_->gate().close();
}

CudaRun::~CudaRun() { open_gate(); }

RunResult CudaRun::finish() {
  if (cancelled_.load(std::memory_order_relaxed)) throw Cancelled();
  device_->activate();
  RunResult result{0, device_->downloads().collect(
                          outputs_, [this] { open_gate(); }, cancelled_)};
  result.duration_ms = timer_.milliseconds();
  return result;
}

void CudaRun::open_gate() {
  if (std::exchange(holds_gate_, false)) device_->gate().open();
}

}  // namespace vitgraph::cuda
