// Device as JavaScript sees it: a backend, and the two threads that its work runs on.
#pragma once

#include <napi.h>

#include <memory>

#include "backend/backend.h"
#include "napi/device_state.h"

namespace vitgraph::napi {

class DeviceHandle final : public Napi::ObjectWrap<DeviceHandle> {
 public:
  static constexpr napi_type_tag kTag = {0x6b1f0a5e4c2d4d13u, 0x9e3779b97f4a7c03u};

  struct Init {
    std::shared_ptr<DeviceState> state;
  };

  static Napi::Function define(Napi::Env env);
  explicit DeviceHandle(const Napi::CallbackInfo& info);
  ~DeviceHandle() override { close(); }

 private:
  /// { backend, name, facts, activationDType, kernels }
  Napi::Value info(const Napi::CallbackInfo& info);
  /// () → { freeBytes, totalBytes }
  Napi::Value memory(const Napi::CallbackInfo& info);
  /// (sizeBytes) → Arena
  Napi::Value allocate(const Napi::CallbackInfo& info);
  /// (sizeBytes) → ExportedMemory | null
  Napi::Value export_memory(const Napi::CallbackInfo& info);
  /// ({ arena, offset, bytes }) → Promise<void>
  Napi::Value upload(const Napi::CallbackInfo& info);
  /// ({ arena, byte }) → Promise<void>
  Napi::Value fill(const Napi::CallbackInfo& info);
  /// ({ words, weights, io, scratch, cache? }) → Executable
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value live_handles(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo&) { close(); }

  /// Posted work still runs; arenas and executables keep their memory until they are disposed themselves.
  void close();
  void check_open() const;

  std::shared_ptr<DeviceState> state_;
};

/// A JavaScript Device over `backend`, with its threads.
Napi::Object make_device(Napi::Env env, std::unique_ptr<Backend> backend);

}  // namespace vitgraph::napi
