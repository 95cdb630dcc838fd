#include "napi/exported_memory_handle.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "napi/bytes.h"
#include "napi/convert.h"
#include "napi/handle.h"
#include "napi/promise_worker.h"

namespace vitgraph::napi {
namespace {

class WriteWorker final : public PromiseWorker {
 public:
  /// Copies the bytes to the staging buffer. @throws Error VG_ARGUMENT_INVALID
  WriteWorker(Napi::Env env, std::shared_ptr<ExportedMemory> memory, std::shared_ptr<bool> is_writing,
              std::size_t offset, std::span<const std::byte> bytes)
      : PromiseWorker(env),
        memory_(std::move(memory)),
        is_writing_(std::move(is_writing)),
        offset_(offset),
        size_(bytes.size()) {
    const std::span<std::byte> staging = memory_->staging();
    if (size_ > staging.size() || offset > memory_->size_bytes() || size_ > memory_->size_bytes() - offset) {
      throw Error("VG_ARGUMENT_INVALID", std::to_string(size_) + " bytes at offset " + std::to_string(offset) +
                                             " do not fit exported memory of " + std::to_string(memory_->size_bytes()));
    }
    std::ranges::copy(bytes, staging.begin());
    *is_writing_ = true;
  }
  /// On JavaScript's thread, before whoever awaits the promise runs.
  ~WriteWorker() override { *is_writing_ = false; }

 private:
  void execute() override { memory_->write(offset_, size_); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

  std::shared_ptr<ExportedMemory> memory_;
  std::shared_ptr<bool> is_writing_;
  std::size_t offset_;
  std::size_t size_;
};

}  // namespace

Napi::Function ExportedMemoryHandle::define(Napi::Env env) {
  return DefineClass(
      env, "ExportedMemory",
      {InstanceMethod<&ExportedMemoryHandle::info>("info"), InstanceMethod<&ExportedMemoryHandle::write>("write"),
       InstanceMethod<&ExportedMemoryHandle::dispose>("dispose")});
}

ExportedMemoryHandle::ExportedMemoryHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  auto& init = take_init<Init>(info);
  device_ = std::move(init.device);
  memory_ = std::move(init.memory);
  ++device_->live_handles;
}

Napi::Value ExportedMemoryHandle::info(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    check_open();
    const std::span<const std::byte> handle = memory_->handle();
    Napi::Uint8Array copy = Napi::Uint8Array::New(info.Env(), handle.size());
    std::memcpy(copy.Data(), handle.data(), handle.size());
    const Napi::Object result = Napi::Object::New(info.Env());
    result.Set("handle", copy);
    result.Set("sizeBytes", static_cast<double>(memory_->size_bytes()));
    result.Set("mostBytes", static_cast<double>(memory_->staging().size()));
    return result;
  });
}

Napi::Value ExportedMemoryHandle::write(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object request = to_object(info[0], "write");
    const auto offset = static_cast<std::size_t>(to_count(request.Get("offset"), "offset", kMaxBytes));
    const std::span<const std::byte> bytes = view_bytes(request.Get("bytes"), "bytes");
    // After the request was read: a getter of it may have disposed the memory, or begun a write.
    check_open();
    if (*is_writing_) throw Error("VG_ARGUMENT_INVALID", "a write to exported memory is under way", "await it first");
    return run_on_pool(info.Env(), std::make_unique<WriteWorker>(info.Env(), memory_, is_writing_, offset, bytes));
  });
}

void ExportedMemoryHandle::check_open() const {
  if (!memory_) disposed("exported memory");
}

void ExportedMemoryHandle::release() {
  if (!memory_) return;
  memory_.reset();
  --device_->live_handles;
}

}  // namespace vitgraph::napi
