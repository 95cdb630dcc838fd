// Executable as JavaScript sees it: a loaded program, whose runs and captures are workers of the device's threads.
#pragma once

#include <napi.h>

#include <memory>

#include "backend/backend.h"
#include "napi/device_state.h"

namespace vitgraph::napi {

class ExecutableHandle final : public Napi::ObjectWrap<ExecutableHandle> {
 public:
  static constexpr napi_type_tag kTag = {0x6b1f0a5e4c2d4d12u, 0x9e3779b97f4a7c02u};

  struct Init {
    std::shared_ptr<DeviceState> device;
    std::shared_ptr<LoadedProgram> program;
  };

  static Napi::Function define(Napi::Env env);
  explicit ExecutableHandle(const Napi::CallbackInfo& info);
  ~ExecutableHandle() override { release(); }

 private:
  /// ({ counts, inputs, outputs }) → Promise<{ durationMs, outputs, firstNonFinite }>
  Napi::Value submit(const Napi::CallbackInfo& info);
  /// () → Promise<{ measureMs, captureMs } | null>
  Napi::Value capture(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo&) { release(); }

  void check_open() const;
  void release();

  std::shared_ptr<DeviceState> device_;
  std::shared_ptr<LoadedProgram> program_;
};

}  // namespace vitgraph::napi
