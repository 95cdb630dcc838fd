// The state that the handles of one device share.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "napi/worker_thread.h"

namespace vitgraph::napi {

/// JavaScript's thread only; workers hold the parts that they need.
struct DeviceState {
  /// Null once the device is disposed.
  std::shared_ptr<Backend> backend;
  std::shared_ptr<WorkerThread> thread;
  /// Arenas, executables and exported memory that were made and not disposed.
  int live_handles = 0;
};

}  // namespace vitgraph::napi
