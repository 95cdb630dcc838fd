// Resizing and cutting of pixels as JavaScript sees it: functions that run on libuv's pool and make a Uint8Array.
#pragma once

#include <napi.h>

namespace vitgraph::napi {

/// Adds the class Frame, and resizeFrame, patchifyFrames and cmykToRgb. Each of these takes one object and returns a
/// promise of a Uint8Array; their types are in src/native.ts.
void register_imaging(Napi::Env env, Napi::Object exports);

}  // namespace vitgraph::napi
