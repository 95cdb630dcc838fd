#include "napi/arena_handle.h"

#include <utility>

#include "napi/handle.h"

namespace vitgraph::napi {

Napi::Function ArenaHandle::define(Napi::Env env) {
  return DefineClass(env, "Arena", {InstanceMethod<&ArenaHandle::dispose>("dispose")});
}

ArenaHandle::ArenaHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  auto& init = take_init<Init>(info);
  device_ = std::move(init.device);
  memory_ = std::move(init.memory);
  ++device_->live_handles;
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

const std::shared_ptr<Memory>& ArenaHandle::memory(const DeviceState& device) const {
  if (!memory_) disposed("an arena");
  if (device_.get() != &device) throw Error("VG_ARGUMENT_INVALID", "the arena belongs to another device");
  return memory_;
}

void ArenaHandle::release() {
  if (!memory_) return;
  memory_.reset();
  --device_->live_handles;
}

}  // namespace vitgraph::napi
