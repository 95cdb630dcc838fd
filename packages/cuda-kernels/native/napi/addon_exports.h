// What every addon of ours exports, whatever its backend: the ABI's version, the kernels' signatures, and devices.
#pragma once

#include <napi.h>

#include <memory>

#include "backend/backend.h"

namespace vitgraph::napi {

/// Makes the backend that `createDevice(options)` asks for. @throws Error
using CreateBackend = std::unique_ptr<Backend> (*)(Napi::Object options);

/// Everything of an environment lives in its instance data, so that any number of worker threads may load an addon at
/// once.
void export_addon(Napi::Env env, Napi::Object exports, CreateBackend create_backend);

}  // namespace vitgraph::napi
