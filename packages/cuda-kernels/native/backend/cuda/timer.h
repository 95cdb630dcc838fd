// The device's time between two points of a stream.
#pragma once

#include "backend/cuda/event.h"

namespace vitgraph::cuda {

class Timer {
 public:
  void start(cudaStream_t stream) { started_.record(stream); }
  void stop(cudaStream_t stream) { ended_.record(stream); }

  /// Waits for the end. @throws Error VG_DEVICE_FAILED for any earlier failure on the device.
  float milliseconds() const {
    ended_.wait();
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, started_.get(), ended_.get()), "cannot time the device");
    return milliseconds;
  }

 private:
  Event started_{Event::Kind::timing};
  Event ended_{Event::Kind::timing};
};

}  // namespace vitgraph::cuda
