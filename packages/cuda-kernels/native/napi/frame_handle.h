// Frame as JavaScript sees it: bytes of an image, copied in parts, since one copy of a large image blocks JavaScript's
// thread for tens of milliseconds. A request takes the memory of a complete frame.
#pragma once

#include <napi.h>

#include <cstddef>
#include <optional>
#include <string>

#include "napi/bytes.h"

namespace vitgraph::napi {

class FrameHandle final : public Napi::ObjectWrap<FrameHandle> {
 public:
  static constexpr napi_type_tag kTag = {0x6b1f0a5e4c2d4d14u, 0x9e3779b97f4a7c04u};
  static constexpr const char* kNoun = "a frame";

  /// new Frame(sizeBytes)
  static Napi::Function define(Napi::Env env);
  explicit FrameHandle(const Napi::CallbackInfo& info);

  static bool is_frame(Napi::Value value);

  /// Moves the bytes out of the handle. `name` is its name in messages.
  /// @throws Error VG_ARGUMENT_INVALID if it has fewer or more than `bytes`; VG_DISPOSED
  InputBytes take(const std::string& name, std::size_t bytes);

 private:
  /// (bytes): appends a copy of them.
  void append(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo&) { memory_.reset(); }

  InputBytes& memory();

  std::optional<InputBytes> memory_;
  std::size_t filled_ = 0;
};

}  // namespace vitgraph::napi
