// The exports of every addon: the version of programs that it reads, and `createDevice`.
#pragma once

#include <napi.h>

#include "napi/addon_data.h"

namespace vitgraph::napi {

void export_addon(Napi::Env env, Napi::Object exports, CreateBackend create_backend);

}  // namespace vitgraph::napi
