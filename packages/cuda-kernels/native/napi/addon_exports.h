// What every addon of ours exports, whatever its backend: the ABI's version, the kernels' signatures, and devices.
#pragma once

#include <napi.h>

#include "napi/addon_data.h"

namespace vitgraph::napi {

void export_addon(Napi::Env env, Napi::Object exports, CreateBackend create_backend);

}  // namespace vitgraph::napi
