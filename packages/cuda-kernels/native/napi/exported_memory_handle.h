// ExportedMemory as JavaScript sees it: a block that other processes map, until `dispose`.
#pragma once

#include <napi.h>

#include <memory>

#include "backend/backend.h"
#include "napi/device_state.h"

namespace vitgraph::napi {

class ExportedMemoryHandle final : public Napi::ObjectWrap<ExportedMemoryHandle> {
 public:
  struct Init {
    std::shared_ptr<DeviceState> device;
    std::shared_ptr<ExportedMemory> memory;
  };

  static Napi::Function define(Napi::Env env);
  explicit ExportedMemoryHandle(const Napi::CallbackInfo& info);
  ~ExportedMemoryHandle() override { release(); }

 private:
  /// { handle, sizeBytes, mostBytes }: the most bytes of one write.
  Napi::Value info(const Napi::CallbackInfo& info);
  /// ({ offset, bytes }) → Promise<void>. One at a time: the next after the promise is settled.
  Napi::Value write(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo&) { release(); }

  void check_open() const;
  void release();

  std::shared_ptr<DeviceState> device_;
  std::shared_ptr<ExportedMemory> memory_;
  /// Whether a write is under way. JavaScript's thread only.
  std::shared_ptr<bool> is_writing_ = std::make_shared<bool>(false);
};

}  // namespace vitgraph::napi
