// Arena as JavaScript sees it: device memory until `dispose`, or until nothing that runs over it is left.
#pragma once

#include <napi.h>

#include <memory>

#include "backend/backend.h"
#include "napi/device_state.h"

namespace vitgraph::napi {

class ArenaHandle final : public Napi::ObjectWrap<ArenaHandle> {
 public:
  static constexpr napi_type_tag kTag = {0x6b1f0a5e4c2d4d11u, 0x9e3779b97f4a7c01u};
  static constexpr const char* kNoun = "an arena";

  struct Init {
    std::shared_ptr<DeviceState> device;
    std::shared_ptr<Memory> memory;
  };

  static Napi::Function define(Napi::Env env);
  explicit ArenaHandle(const Napi::CallbackInfo& info);
  ~ArenaHandle() override { release(); }

  /// @throws Error VG_DISPOSED; VG_ARGUMENT_INVALID where the arena belongs to another device.
  const std::shared_ptr<Memory>& memory(const DeviceState& device) const;

 private:
  void dispose(const Napi::CallbackInfo&) { release(); }
  void release();

  std::shared_ptr<DeviceState> device_;
  std::shared_ptr<Memory> memory_;
};

}  // namespace vitgraph::napi
