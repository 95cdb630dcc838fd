#include "napi/executable_handle.h"

#include <optional>
#include <utility>
#include <vector>

#include "napi/bytes.h"
#include "napi/convert.h"
#include "napi/handle.h"

namespace vitgraph::napi {
namespace {

class RunWorker final : public PromiseWorker {
 public:
  /// Reads `{ counts, inputs, outputs }` and checks it against the program. src/submission.ts has reported mistakes in
  /// terms of the program's names before; this check guards memory.
  RunWorker(Napi::Env env, std::shared_ptr<WorkerThread> thread, std::shared_ptr<LoadedProgram> program,
            Napi::Object submission)
      : PromiseWorker(env), thread_(std::move(thread)), program_(std::move(program)) {
    read_counts(submission.Get("counts"));
    for_each(submission.Get("inputs"), "inputs", [&](Napi::Object transfer, const std::string& at) {
      const Place place = read_place(transfer, at);
      const Napi::Value value = transfer.Get("bytes");
      const std::span<const std::byte> bytes = view_bytes(value, at + ".bytes");
      check_fit(place, bytes.size(), at);
      inputs_.emplace_back(bytes);
      submission_.inputs.push_back({place.buffer, inputs_.back().span(), place.offset});
    });
    for_each(submission.Get("outputs"), "outputs", [&](Napi::Object range, const std::string& at) {
      const Place place = read_place(range, at);
      const auto size = static_cast<std::size_t>(to_count(range.Get("sizeBytes"), at + ".sizeBytes", kMaxBytes));
      check_fit(place, size, at);
      outputs_.emplace_back(env, size);
      submission_.outputs.push_back({place.buffer, outputs_.back().span(), place.offset});
    });
  }

 private:
  struct Place {
    const Buffer* buffer;
    std::size_t offset;
  };

  void read_counts(Napi::Value value) {
    submission_.counts = copy_words(value, "counts");
    const std::vector<std::uint32_t>& capacities = program_->program().capacities;
    bool fits = submission_.counts.size() == capacities.size();
    for (std::size_t i = 0; fits && i < capacities.size(); ++i) fits = submission_.counts[i] <= capacities[i];
    if (!fits) throw Error("VG_ARGUMENT_INVALID", "the submission's counts do not fit the program's dims");
  }

  template <typename Read>
  static void for_each(Napi::Value value, const std::string& name, Read&& read) {
    if (!value.IsArray()) throw Error("VG_ARGUMENT_INVALID", name + " is not an array");
    const auto array = value.As<Napi::Array>();
    for (std::uint32_t i = 0; i < array.Length(); ++i) {
      const std::string at = name + "[" + std::to_string(i) + "]";
      read(to_object(array.Get(i), at), at);
    }
  }

  Place read_place(Napi::Object range, const std::string& at) const {
    const std::vector<Buffer>& buffers = program_->program().buffers;
    const double index = to_count(range.Get("buffer"), at + ".buffer", static_cast<double>(buffers.size()) - 1);
    const Napi::Value offset = range.Get("offsetBytes");
    return {&buffers[static_cast<std::size_t>(index)],
            static_cast<std::size_t>(offset.IsUndefined() ? 0 : to_count(offset, at + ".offsetBytes", kMaxBytes))};
  }

  static void check_fit(const Place& place, std::size_t size, const std::string& at) {
    const auto& [buffer, offset] = place;
    if (buffer->arena != ArenaName::io || buffer->row_stride != buffer->columns ||
        offset % size_of(buffer->dtype) != 0 || offset > buffer->size_bytes || size > buffer->size_bytes - offset) {
      throw Error("VG_ARGUMENT_INVALID", at + " does not fit its buffer");
    }
  }

  void execute() override { run_ = program_->begin(submission_, thread_->cancelled()); }

  void complete() override {
    // Destroyed even if `finish` throws: the next run needs what it holds on the device.
    const std::unique_ptr<Run> run = std::move(run_);
    result_ = run->finish();
  }

  Napi::Value result(Napi::Env env) override {
    const Napi::Array outputs = Napi::Array::New(env, outputs_.size());
    const Napi::Array non_finite = Napi::Array::New(env, outputs_.size());
    for (std::uint32_t i = 0; i < outputs_.size(); ++i) {
      outputs.Set(i, outputs_[i].array());
      non_finite.Set(i, static_cast<double>(result_.first_non_finite[i]));
    }
    const Napi::Object result = Napi::Object::New(env);
    result.Set("durationMs", result_.duration_ms);
    result.Set("outputs", outputs);
    result.Set("firstNonFinite", non_finite);
    return result;
  }

  std::shared_ptr<WorkerThread> thread_;
  std::shared_ptr<LoadedProgram> program_;
  std::vector<InputBytes> inputs_;
  std::vector<OutputBytes> outputs_;
  Submission submission_;
  std::unique_ptr<Run> run_;
  RunResult result_{};
};

class CaptureWorker final : public PromiseWorker {
 public:
  CaptureWorker(Napi::Env env, std::shared_ptr<LoadedProgram> program)
      : PromiseWorker(env), program_(std::move(program)) {}

 private:
  void execute() override { times_ = program_->capture(); }

  Napi::Value result(Napi::Env env) override {
    if (!times_) return env.Null();
    const Napi::Object result = Napi::Object::New(env);
    result.Set("measureMs", times_->measure_ms);
    result.Set("captureMs", times_->capture_ms);
    return result;
  }

  std::shared_ptr<LoadedProgram> program_;
  std::optional<CaptureTimes> times_;
};

}  // namespace

Napi::Function ExecutableHandle::define(Napi::Env env) {
  return DefineClass(
      env, "Executable",
      {InstanceMethod<&ExecutableHandle::submit>("submit"), InstanceMethod<&ExecutableHandle::capture>("capture"),
       InstanceMethod<&ExecutableHandle::dispose>("dispose")});
}

ExecutableHandle::ExecutableHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  auto& init = take_init<Init>(info);
  device_ = std::move(init.device);
  program_ = std::move(init.program);
  ++device_->live_handles;
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Value ExecutableHandle::submit(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    check_open();
    auto worker = std::make_unique<RunWorker>(info.Env(), device_->thread, program_, to_object(info[0], "submission"));
    // Reading the submission may have run a getter that disposed something.
    check_open();
    return device_->thread->post(info.Env(), std::move(worker));
  });
}

Napi::Value ExecutableHandle::capture(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    check_open();
    return device_->thread->post(info.Env(), std::make_unique<CaptureWorker>(info.Env(), program_));
  });
}

void ExecutableHandle::check_open() const {
  if (!program_) disposed("an executable");
  if (device_->thread->closed()) disposed("a device");
}

void ExecutableHandle::release() {
  if (!program_) return;
  program_.reset();
  --device_->live_handles;
}

}  // namespace vitgraph::napi
