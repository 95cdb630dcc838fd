// The instance data of one environment: the classes and functions that its native code calls. Each environment (the
// main thread, a worker thread) has its own, so that any number of them may load an addon at once.
#pragma once

#include <napi.h>

#include <memory>

#include "backend/backend.h"

namespace vitgraph::napi {

/// Makes the backend that `createDevice(options)` asks for. @throws Error
using CreateBackend = std::unique_ptr<Backend> (*)(Napi::Object options);

struct AddonData {
  CreateBackend create_backend;
  Napi::FunctionReference device;
  Napi::FunctionReference arena;
  Napi::FunctionReference executable;
  Napi::FunctionReference exported_memory;
  /// Node's Buffer.allocUnsafeSlow, as it was when the addon was loaded.
  Napi::FunctionReference allocate_unfilled;
};

inline const AddonData& addon_data(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

}  // namespace vitgraph::napi
