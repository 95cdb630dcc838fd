#include "napi/addon_exports.h"

#include "napi/arena_handle.h"
#include "napi/convert.h"
#include "napi/device_handle.h"
#include "napi/executable_handle.h"
#include "napi/exported_memory_handle.h"
#include "program/program.h"

namespace vitgraph::napi {
namespace {

/// (options) → Device
Napi::Value create_device(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return make_device(info.Env(), addon_data(info.Env()).create_backend(to_object(info[0], "options")));
  });
}

}  // namespace

void export_addon(Napi::Env env, Napi::Object exports, CreateBackend create_backend) {
  const auto buffer = env.Global().Get("Buffer").As<Napi::Object>();
  env.SetInstanceData(new AddonData{
      create_backend, Napi::Persistent(DeviceHandle::define(env)), Napi::Persistent(ArenaHandle::define(env)),
      Napi::Persistent(ExecutableHandle::define(env)), Napi::Persistent(ExportedMemoryHandle::define(env)),
      Napi::Persistent(buffer.Get("allocUnsafeSlow").As<Napi::Function>())});
  exports.Set("programVersion", kProgramVersion);
  exports.Set("createDevice", Napi::Function::New(env, create_device, "createDevice"));
}

}  // namespace vitgraph::napi
