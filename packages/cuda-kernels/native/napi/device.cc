#include "napi/device.h"

#include <optional>
#include <utility>

#include "common/error.h"
#include "napi/convert.h"

namespace vitgraph::napi {
namespace {

/// JavaScript's numbers are exact up to here.
constexpr double kMaxBytes = 9007199254740992.0;

/// What a constructor is handed by the C++ that calls it. JavaScript can't make one, so it can't construct a handle.
template <typename Init>
Init& take_init(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  return *info[0].As<Napi::External<Init>>().Data();
}

template <typename Init>
Napi::Object construct(Napi::Env env, const Napi::FunctionReference& constructor, Init& init) {
  return constructor.New({Napi::External<Init>::New(env, &init)});
}

/// The C++ object behind a handle. The tag keeps a handle of another class, or of another addon, from being taken for
/// it.
template <typename T>
T& unwrap(Napi::Value value, const std::string& name) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&T::kTag)) {
    throw Error("VG_ARGUMENT_INVALID", name + " is not " + T::kWhat + " of this device's backend");
  }
  return *T::Unwrap(value.As<Napi::Object>());
}

[[noreturn]] void disposed(const std::string& what) {
  throw Error("VG_DISPOSED", what + " was used after it had been disposed");
}

// Arena ---------------------------------------------------------------------------------------------------------------

struct ArenaInit {
  std::shared_ptr<DeviceState> device;
  std::shared_ptr<Memory> memory;
};

class ArenaHandle final : public Napi::ObjectWrap<ArenaHandle> {
 public:
  static constexpr napi_type_tag kTag = {0x6b1f0a5e4c2d4d11u, 0x9e3779b97f4a7c01u};
  static constexpr const char* kWhat = "an arena";

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Arena", {InstanceMethod<&ArenaHandle::dispose>("dispose")});
  }

  explicit ArenaHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    auto& init = take_init<ArenaInit>(info);
    device_ = std::move(init.device);
    memory_ = std::move(init.memory);
    ++device_->live_handles;
    info.This().As<Napi::Object>().TypeTag(&kTag);
  }

  ~ArenaHandle() override { release(); }

  const std::shared_ptr<Memory>& memory(const DeviceState& device) const {
    if (!memory_) disposed("an arena");
    if (device_.get() != &device) throw Error("VG_ARGUMENT_INVALID", "the arena belongs to another device");
    return memory_;
  }

 private:
  void dispose(const Napi::CallbackInfo&) { release(); }

  void release() {
    if (!memory_) return;
    memory_.reset();
    --device_->live_handles;
  }

  std::shared_ptr<DeviceState> device_;
  std::shared_ptr<Memory> memory_;
};

// Executable ----------------------------------------------------------------------------------------------------------

struct ExecutableInit {
  std::shared_ptr<DeviceState> device;
  std::shared_ptr<LoadedProgram> program;
};

class RunWorker final : public PromiseWorker {
 public:
  RunWorker(Napi::Env env, std::shared_ptr<DeviceState> device, std::shared_ptr<LoadedProgram> program)
      : PromiseWorker(env), device_(std::move(device)), program_(std::move(program)) {}

  /// Reads `{ counts, inputs, outputs }`, and holds it against the program. src/submission.ts has told the user already
  /// what is wrong, in terms of the program's names; this check guards memory.
  void read(Napi::Object submission) {
    const std::span<const std::uint32_t> counts = to_words(submission.Get("counts"), "counts");
    const std::vector<std::uint32_t>& capacities = program_->program().capacities;
    bool fits = counts.size() == capacities.size();
    for (std::size_t i = 0; fits && i < counts.size(); ++i) fits = counts[i] <= capacities[i];
    if (!fits) throw Error("VG_ARGUMENT_INVALID", "the submission's counts do not fit the program's dims");
    submission_.counts.assign(counts.begin(), counts.end());
    read_transfers(submission.Get("inputs"), "inputs", submission_.inputs);
    read_transfers(submission.Get("outputs"), "outputs", submission_.outputs);
  }

 private:
  void read_transfers(Napi::Value value, const std::string& name, std::vector<Transfer>& transfers) {
    if (!value.IsArray()) throw Error("VG_ARGUMENT_INVALID", name + " is not an array");
    const auto array = value.As<Napi::Array>();
    const std::vector<Buffer>& buffers = program_->program().buffers;
    for (std::uint32_t i = 0; i < array.Length(); ++i) {
      const std::string at = name + "[" + std::to_string(i) + "]";
      const Napi::Object transfer = to_object(array.Get(i), at);
      const double index = to_count(transfer.Get("buffer"), at + ".buffer", static_cast<double>(buffers.size()) - 1);
      const Buffer& buffer = buffers[static_cast<std::size_t>(index)];
      const Napi::Value bytes = transfer.Get("bytes");
      const std::span<std::byte> span = to_bytes(bytes, at + ".bytes");
      const Napi::Value given = transfer.Get("offsetBytes");
      const auto offset =
          static_cast<std::size_t>(given.IsUndefined() ? 0 : to_count(given, at + ".offsetBytes", kMaxBytes));
      if (buffer.arena != ArenaName::io || buffer.row_stride != buffer.columns || offset % size_of(buffer.dtype) != 0 ||
          offset > buffer.size_bytes || span.size() > buffer.size_bytes - offset) {
        throw Error("VG_ARGUMENT_INVALID", at + " does not fit its buffer");
      }
      keep(bytes.As<Napi::Object>());
      transfers.push_back({&buffer, span, offset});
    }
  }

  void execute() override { run_ = program_->begin(submission_, device_->thread->cancelled()); }

  void complete() override {
    // Gone with the end of this, whatever the end is: what it holds on the device is needed by the next.
    const std::unique_ptr<Run> run = std::move(run_);
    result_ = run->finish();
  }

  Napi::Value result(Napi::Env env) override {
    const Napi::Array non_finite = Napi::Array::New(env, result_.first_non_finite.size());
    for (std::uint32_t i = 0; i < result_.first_non_finite.size(); ++i) {
      non_finite.Set(i, static_cast<double>(result_.first_non_finite[i]));
    }
    const Napi::Object result = Napi::Object::New(env);
    result.Set("durationMs", result_.duration_ms);
    result.Set("firstNonFinite", non_finite);
    return result;
  }

  std::shared_ptr<DeviceState> device_;
  std::shared_ptr<LoadedProgram> program_;
  Submission submission_;
  std::unique_ptr<Run> run_;
  RunResult result_{};
};

class CaptureWorker final : public PromiseWorker {
 public:
  CaptureWorker(Napi::Env env, std::shared_ptr<DeviceState> device, std::shared_ptr<LoadedProgram> program)
      : PromiseWorker(env), device_(std::move(device)), program_(std::move(program)) {}

 private:
  void execute() override { times_ = program_->capture(); }

  Napi::Value result(Napi::Env env) override {
    if (!times_) return env.Null();
    const Napi::Object result = Napi::Object::New(env);
    result.Set("measureMs", times_->measure_ms);
    result.Set("captureMs", times_->capture_ms);
    return result;
  }

  std::shared_ptr<DeviceState> device_;
  std::shared_ptr<LoadedProgram> program_;
  std::optional<CaptureTimes> times_;
};

class ExecutableHandle final : public Napi::ObjectWrap<ExecutableHandle> {
 public:
  static constexpr napi_type_tag kTag = {0x6b1f0a5e4c2d4d12u, 0x9e3779b97f4a7c02u};

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Executable",
        {InstanceMethod<&ExecutableHandle::submit>("submit"), InstanceMethod<&ExecutableHandle::capture>("capture"),
         InstanceMethod<&ExecutableHandle::dispose>("dispose")});
  }

  explicit ExecutableHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    auto& init = take_init<ExecutableInit>(info);
    device_ = std::move(init.device);
    program_ = std::move(init.program);
    ++device_->live_handles;
    info.This().As<Napi::Object>().TypeTag(&kTag);
  }

  ~ExecutableHandle() override { release(); }

 private:
  Napi::Value submit(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      if (!program_) disposed("an executable");
      if (device_->thread->closed()) disposed("a device");
      auto worker = std::make_unique<RunWorker>(info.Env(), device_, program_);
      worker->read(to_object(info[0], "submission"));
      return device_->thread->post(info.Env(), std::move(worker));
    });
  }

  Napi::Value capture(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      if (!program_) disposed("an executable");
      if (device_->thread->closed()) disposed("a device");
      return device_->thread->post(info.Env(), std::make_unique<CaptureWorker>(info.Env(), device_, program_));
    });
  }

  void dispose(const Napi::CallbackInfo&) { release(); }

  void release() {
    if (!program_) return;
    program_.reset();
    --device_->live_handles;
  }

  std::shared_ptr<DeviceState> device_;
  std::shared_ptr<LoadedProgram> program_;
};

// Device --------------------------------------------------------------------------------------------------------------

struct DeviceInit {
  std::shared_ptr<DeviceState> state;
  const DeviceClasses* classes;
};

class UploadWorker final : public PromiseWorker {
 public:
  UploadWorker(Napi::Env env, std::shared_ptr<DeviceState> device, std::shared_ptr<Memory> memory, std::size_t offset,
               Napi::Value bytes)
      : PromiseWorker(env),
        device_(std::move(device)),
        memory_(std::move(memory)),
        offset_(offset),
        bytes_(to_bytes(bytes, "bytes")) {
    if (offset_ > memory_->size_bytes() || bytes_.size() > memory_->size_bytes() - offset_) {
      throw Error("VG_ARGUMENT_INVALID", std::to_string(bytes_.size()) + " bytes at offset " + std::to_string(offset_) +
                                             " do not fit an arena of " + std::to_string(memory_->size_bytes()));
    }
    keep(bytes.As<Napi::Object>());
  }

 private:
  void execute() override { device_->backend->upload(*memory_, offset_, bytes_); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

  std::shared_ptr<DeviceState> device_;
  std::shared_ptr<Memory> memory_;
  std::size_t offset_;
  std::span<const std::byte> bytes_;
};

class FillWorker final : public PromiseWorker {
 public:
  FillWorker(Napi::Env env, std::shared_ptr<DeviceState> device, std::shared_ptr<Memory> memory, std::uint8_t byte)
      : PromiseWorker(env), device_(std::move(device)), memory_(std::move(memory)), byte_(byte) {}

 private:
  void execute() override { device_->backend->fill(*memory_, byte_); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

  std::shared_ptr<DeviceState> device_;
  std::shared_ptr<Memory> memory_;
  std::uint8_t byte_;
};

class DeviceHandle final : public Napi::ObjectWrap<DeviceHandle> {
 public:
  static constexpr napi_type_tag kTag = {0x6b1f0a5e4c2d4d13u, 0x9e3779b97f4a7c03u};

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Device",
        {InstanceMethod<&DeviceHandle::info>("info"), InstanceMethod<&DeviceHandle::allocate>("allocate"),
         InstanceMethod<&DeviceHandle::memory>("memory"), InstanceMethod<&DeviceHandle::upload>("upload"),
         InstanceMethod<&DeviceHandle::fill>("fill"), InstanceMethod<&DeviceHandle::load>("load"),
         InstanceMethod<&DeviceHandle::live_handles>("liveHandles"),
         InstanceMethod<&DeviceHandle::dispose>("dispose")});
  }

  explicit DeviceHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    auto& init = take_init<DeviceInit>(info);
    state_ = std::move(init.state);
    classes_ = init.classes;
    info.This().As<Napi::Object>().TypeTag(&kTag);
  }

  ~DeviceHandle() override { state_->thread->close(); }

 private:
  /// { backend, name, facts, activationDType, kernels }
  Napi::Value info(const Napi::CallbackInfo& info) {
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
  }

  /// () → { freeBytes, totalBytes }
  Napi::Value memory(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      check_open();
      const MemoryUse use = state_->backend->memory();
      const Napi::Object result = Napi::Object::New(info.Env());
      result.Set("freeBytes", static_cast<double>(use.free_bytes));
      result.Set("totalBytes", static_cast<double>(use.total_bytes));
      return result;
    });
  }

  /// (sizeBytes) → Arena
  Napi::Value allocate(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      check_open();
      const double size = to_count(info[0], "sizeBytes", kMaxBytes);
      ArenaInit init{state_, state_->backend->allocate(static_cast<std::size_t>(size))};
      return construct(info.Env(), classes_->arena, init);
    });
  }

  /// ({ arena, offset, bytes }) → Promise<void>
  Napi::Value upload(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      check_open();
      const Napi::Object request = to_object(info[0], "upload");
      const std::shared_ptr<Memory> memory = unwrap<ArenaHandle>(request.Get("arena"), "arena").memory(*state_);
      const auto offset = static_cast<std::size_t>(to_count(request.Get("offset"), "offset", kMaxBytes));
      return state_->thread->post(
          info.Env(), std::make_unique<UploadWorker>(info.Env(), state_, memory, offset, request.Get("bytes")));
    });
  }

  /// ({ arena, byte }) → Promise<void>
  Napi::Value fill(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      check_open();
      const Napi::Object request = to_object(info[0], "fill");
      const std::shared_ptr<Memory> memory = unwrap<ArenaHandle>(request.Get("arena"), "arena").memory(*state_);
      const auto byte = static_cast<std::uint8_t>(to_count(request.Get("byte"), "byte", 255));
      return state_->thread->post(info.Env(), std::make_unique<FillWorker>(info.Env(), state_, memory, byte));
    });
  }

  /// ({ words, weights, io, scratch, cache? }) → Executable
  Napi::Value load(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      check_open();
      const Napi::Object request = to_object(info[0], "load");
      Arenas arenas;
      for (std::size_t i = 0; i < kArenaCount; ++i) {
        const Napi::Value arena = request.Get(kArenaNames[i]);
        // Only programs that keep something between runs have use for a cache.
        const bool left_out = static_cast<ArenaName>(i) == ArenaName::cache && arena.IsUndefined();
        arenas[i] =
            left_out ? state_->backend->allocate(0) : unwrap<ArenaHandle>(arena, kArenaNames[i]).memory(*state_);
      }
      ExecutableInit init{state_, state_->backend->load(to_words(request.Get("words"), "words"), arenas)};
      return construct(info.Env(), classes_->executable, init);
    });
  }

  Napi::Value live_handles(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), state_->live_handles);
  }

  /// What was posted still runs; arenas and executables keep their memory until they are disposed themselves.
  void dispose(const Napi::CallbackInfo&) { state_->thread->close(); }

  void check_open() const {
    if (state_->thread->closed()) disposed("a device");
  }

  std::shared_ptr<DeviceState> state_;
  const DeviceClasses* classes_ = nullptr;
};

}  // namespace

DeviceClasses define_device_classes(Napi::Env env) {
  return {Napi::Persistent(DeviceHandle::define(env)), Napi::Persistent(ArenaHandle::define(env)),
          Napi::Persistent(ExecutableHandle::define(env))};
}

Napi::Object make_device(Napi::Env env, const DeviceClasses& classes, std::unique_ptr<Backend> backend) {
  auto state = std::make_shared<DeviceState>();
  state->thread = WorkerThread::start(env, "vitgraph device");
  state->backend = std::move(backend);
  DeviceInit init{std::move(state), &classes};
  return construct(env, classes.device, init);
}

}  // namespace vitgraph::napi
