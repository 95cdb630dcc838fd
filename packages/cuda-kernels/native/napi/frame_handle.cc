#include "napi/frame_handle.h"

#include <algorithm>
#include <utility>

#include "napi/convert.h"
#include "napi/handle.h"

namespace vitgraph::napi {

Napi::Function FrameHandle::define(Napi::Env env) {
  return DefineClass(
      env, "Frame", {InstanceMethod<&FrameHandle::append>("append"), InstanceMethod<&FrameHandle::dispose>("dispose")});
}

FrameHandle::FrameHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guarded(info.Env(), [&] {
    memory_.emplace(static_cast<std::size_t>(to_count(info[0], "sizeBytes", kMaxBytes)));
    info.This().As<Napi::Object>().TypeTag(&kTag);
  });
}

bool FrameHandle::is_frame(Napi::Value value) {
  return value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&kTag);
}

void FrameHandle::append(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const std::span<const std::byte> bytes = view_bytes(info[0], "bytes");
    const std::span<std::byte> rest = memory().span().subspan(filled_);
    if (bytes.size() > rest.size()) {
      throw Error("VG_ARGUMENT_INVALID", std::to_string(bytes.size()) + " bytes do not fit the " +
                                             std::to_string(rest.size()) + " that a frame has left");
    }
    std::ranges::copy(bytes, rest.begin());
    filled_ += bytes.size();
  });
}

InputBytes FrameHandle::take(const std::string& name, std::size_t bytes) {
  const std::size_t size = memory().span().size();
  if (size != bytes || filled_ != bytes) {
    throw Error("VG_ARGUMENT_INVALID", name + " has " + std::to_string(filled_) + " of " + std::to_string(size) +
                                           " bytes, but the sizes given make it " + std::to_string(bytes));
  }
  InputBytes taken = std::move(*memory_);
  memory_.reset();
  return taken;
}

InputBytes& FrameHandle::memory() {
  if (!memory_) disposed("a frame");
  return *memory_;
}

}  // namespace vitgraph::napi
