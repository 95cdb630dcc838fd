#include "napi/device_handle.h"

#include <utility>
#include <variant>
#include <vector>

#include "napi/addon_data.h"
#include "napi/arena_handle.h"
#include "napi/bytes.h"
#include "napi/convert.h"
#include "napi/executable_handle.h"
#include "napi/exported_memory_handle.h"
#include "napi/handle.h"

namespace vitgraph::napi {
namespace {

class UploadWorker final : public PromiseWorker {
 public:
  UploadWorker(Napi::Env env, std::shared_ptr<Backend> backend, std::shared_ptr<Memory> memory, std::size_t offset,
               Napi::Value bytes)
      : PromiseWorker(env),
        backend_(std::move(backend)),
        memory_(std::move(memory)),
        offset_(offset),
        bytes_(fitting(view_bytes(bytes, "bytes"), *memory_, offset)) {}

 private:
  static std::span<const std::byte> fitting(std::span<const std::byte> bytes, const Memory& memory,
                                            std::size_t offset) {
    if (offset > memory.size_bytes() || bytes.size() > memory.size_bytes() - offset) {
      throw Error("VG_ARGUMENT_INVALID", std::to_string(bytes.size()) + " bytes at offset " + std::to_string(offset) +
                                             " do not fit an arena of " + std::to_string(memory.size_bytes()));
    }
    return bytes;
  }

  void execute() override { backend_->upload(*memory_, offset_, bytes_.span()); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<Memory> memory_;
  std::size_t offset_;
  InputBytes bytes_;
};

class FillWorker final : public PromiseWorker {
 public:
  FillWorker(Napi::Env env, std::shared_ptr<Backend> backend, std::shared_ptr<Memory> memory, std::uint8_t byte)
      : PromiseWorker(env), backend_(std::move(backend)), memory_(std::move(memory)), byte_(byte) {}

 private:
  void execute() override { backend_->fill(*memory_, byte_); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<Memory> memory_;
  std::uint8_t byte_;
};

}  // namespace

Napi::Function DeviceHandle::define(Napi::Env env) {
  return DefineClass(
      env, "Device",
      {InstanceMethod<&DeviceHandle::info>("info"), InstanceMethod<&DeviceHandle::allocate>("allocate"),
       InstanceMethod<&DeviceHandle::export_memory>("exportMemory"), InstanceMethod<&DeviceHandle::memory>("memory"),
       InstanceMethod<&DeviceHandle::upload>("upload"), InstanceMethod<&DeviceHandle::fill>("fill"),
       InstanceMethod<&DeviceHandle::load>("load"), InstanceMethod<&DeviceHandle::live_handles>("liveHandles"),
       InstanceMethod<&DeviceHandle::dispose>("dispose")});
}

DeviceHandle::DeviceHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  state_ = std::move(take_init<Init>(info).state);
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Value DeviceHandle::info(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    check_open();
    const Napi::Env env = info.Env();
    const BackendInfo& from = state_->backend->info();
    const Napi::Object facts = Napi::Object::New(env);
    for (const auto& [name, value] : from.facts) {
      std::visit([&, &key = name](const auto& fact) { facts.Set(key, fact); }, value);
    }
    const std::span<const Kernel> kernels = state_->backend->kernels();
    const Napi::Array names = Napi::Array::New(env, kernels.size());
    for (std::uint32_t i = 0; i < kernels.size(); ++i) names.Set(i, signature_of(kernels[i]).name);
    const Napi::Object result = Napi::Object::New(env);
    result.Set("backend", from.backend);
    result.Set("name", from.name);
    result.Set("facts", facts);
    result.Set("activationDType", name_of(state_->backend->activation_dtype()));
    result.Set("kernels", names);
    return result;
  });
}

Napi::Value DeviceHandle::memory(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    check_open();
    const MemoryUse use = state_->backend->memory();
    const Napi::Object result = Napi::Object::New(info.Env());
    result.Set("freeBytes", static_cast<double>(use.free_bytes));
    result.Set("totalBytes", static_cast<double>(use.total_bytes));
    return result;
  });
}

Napi::Value DeviceHandle::allocate(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    check_open();
    const double size = to_count(info[0], "sizeBytes", kMaxBytes);
    ArenaHandle::Init init{state_, state_->backend->allocate(static_cast<std::size_t>(size))};
    return construct(info.Env(), addon_data(info.Env()).arena, init);
  });
}

Napi::Value DeviceHandle::export_memory(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    check_open();
    const double size = to_count(info[0], "sizeBytes", kMaxBytes);
    ExportedMemoryHandle::Init init{state_, state_->backend->export_memory(static_cast<std::size_t>(size))};
    if (!init.memory) return info.Env().Null();
    return construct(info.Env(), addon_data(info.Env()).exported_memory, init);
  });
}

// Reading a request may run a getter that disposes the device, so `check_open` is called again after it.

Napi::Value DeviceHandle::upload(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    check_open();
    const Napi::Object request = to_object(info[0], "upload");
    const std::shared_ptr<Memory> memory = unwrap<ArenaHandle>(request.Get("arena"), "arena").memory(*state_);
    const auto offset = static_cast<std::size_t>(to_count(request.Get("offset"), "offset", kMaxBytes));
    const Napi::Value bytes = request.Get("bytes");
    check_open();
    return state_->thread->post(info.Env(),
                                std::make_unique<UploadWorker>(info.Env(), state_->backend, memory, offset, bytes));
  });
}

Napi::Value DeviceHandle::fill(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    check_open();
    const Napi::Object request = to_object(info[0], "fill");
    const std::shared_ptr<Memory> memory = unwrap<ArenaHandle>(request.Get("arena"), "arena").memory(*state_);
    const auto byte = static_cast<std::uint8_t>(to_count(request.Get("byte"), "byte", 255));
    check_open();
    return state_->thread->post(info.Env(), std::make_unique<FillWorker>(info.Env(), state_->backend, memory, byte));
  });
}

Napi::Value DeviceHandle::load(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    check_open();
    const Napi::Object request = to_object(info[0], "load");
    Arenas arenas;
    for (std::size_t i = 0; i < kArenaCount; ++i) {
      const Napi::Value arena = request.Get(kArenaNames[i]);
      // Only programs that keep data between runs need a cache.
      if (static_cast<ArenaName>(i) == ArenaName::cache && arena.IsUndefined()) continue;
      arenas[i] = unwrap<ArenaHandle>(arena, kArenaNames[i]).memory(*state_);
    }
    const std::vector<std::uint32_t> words = copy_words(request.Get("words"), "words");
    check_open();
    for (std::shared_ptr<Memory>& arena : arenas) {
      if (!arena) arena = state_->backend->allocate(0);
    }
    ExecutableHandle::Init init{state_, state_->backend->load(words, arenas)};
    return construct(info.Env(), addon_data(info.Env()).executable, init);
  });
}

Napi::Value DeviceHandle::live_handles(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), state_->live_handles);
}

void DeviceHandle::close() {
  state_->thread->close();
  // Workers in flight keep it alive, and so does the thread until it has ended.
  state_->backend.reset();
}

void DeviceHandle::check_open() const {
  if (state_->thread->closed()) disposed("a device");
}

Napi::Object make_device(Napi::Env env, std::unique_ptr<Backend> backend) {
  auto state = std::make_shared<DeviceState>();
  state->backend = std::move(backend);
  state->thread = WorkerThread::start(env, "vitgraph device", [backend = state->backend] { backend->end_threads(); });
  DeviceHandle::Init init{std::move(state)};
  return construct(env, addon_data(env).device, init);
}

}  // namespace vitgraph::napi
