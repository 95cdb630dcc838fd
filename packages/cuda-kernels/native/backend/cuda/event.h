// A CUDA event, awaited by the host or by another stream.
#pragma once

#include <cuda_runtime_api.h>

#include "backend/cuda/status.h"

namespace vitgraph::cuda {

class Event {
 public:
  enum class Kind { order, timing };

  explicit Event(Kind kind = Kind::order) {
    // A thread that waits sleeps: spinning would take a core of the server for as long as the device computes.
    const unsigned flags = cudaEventBlockingSync | (kind == Kind::timing ? cudaEventDefault : cudaEventDisableTiming);
    check(cudaEventCreateWithFlags(&event_, flags), "cannot create an event");
  }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "cannot record an event"); }
  /// Later work on `stream` waits for the last recording; does nothing if there is none.
  void hold(cudaStream_t stream) const { check(cudaStreamWaitEvent(stream, event_, 0), "cannot order two streams"); }
  /// Returns when the device has reached the event. @throws Error VG_DEVICE_FAILED for any earlier failure on the
  /// device.
  void wait() const { check(cudaEventSynchronize(event_), "the run failed"); }

  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace vitgraph::cuda
