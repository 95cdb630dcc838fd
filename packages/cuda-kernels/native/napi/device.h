// Device, Arena and Executable as JavaScript sees them. Each holds native objects by shared pointer, hands long work to
// the device's WorkerThread, and may be disposed at any time: work that is under way keeps what it needs.
#pragma once

#include <napi.h>

#include <memory>

#include "backend/backend.h"
#include "napi/worker_thread.h"

namespace vitgraph::napi {

/// What a device's handles share.
struct DeviceState {
  std::unique_ptr<Backend> backend;
  std::shared_ptr<WorkerThread> thread;
  /// Arenas and executables that were made and not disposed. JavaScript's thread only.
  int live_handles = 0;
};

/// The classes of one environment: what every ObjectWrap needs to make others.
struct DeviceClasses {
  Napi::FunctionReference device;
  Napi::FunctionReference arena;
  Napi::FunctionReference executable;
};

DeviceClasses define_device_classes(Napi::Env env);

/// A JavaScript Device over `backend`, with a thread of its own.
Napi::Object make_device(Napi::Env env, const DeviceClasses& classes, std::unique_ptr<Backend> backend);

}  // namespace vitgraph::napi
