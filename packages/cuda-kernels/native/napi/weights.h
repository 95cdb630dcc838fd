// Weights as JavaScript sees them: functions that run on libuv's pool and make Uint8Arrays.
#pragma once

#include <napi.h>

namespace vitgraph::napi {

/// Adds convertFloats and foldNorm. Each takes one object and returns a promise; their types are in src/native.ts.
void register_weights(Napi::Env env, Napi::Object exports);

}  // namespace vitgraph::napi
