#include "napi/imaging.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "common/error.h"
#include "imaging/cmyk.h"
#include "imaging/patchify.h"
#include "imaging/resize.h"
#include "napi/convert.h"
#include "napi/promise_worker.h"

namespace vitgraph::napi {
namespace {

using imaging::kChannels;
using imaging::PatchLayout;
using imaging::Size;

// Far above any image, and low enough for products of a side with a few taps or channels to fit an int.
constexpr double kLongestSide = 1 << 24;

/// Reads the fields of the one object that JavaScript passed. What it hands out lives as long as the worker keeps it.
class Request {
 public:
  explicit Request(const Napi::CallbackInfo& info) : object_(to_object(info[0], "the request")) {}

  const Napi::Object& object() const { return object_; }

  int side(const char* name) const {
    const int value = static_cast<int>(to_count(object_.Get(name), name, kLongestSide));
    if (value == 0) throw Error("VG_ARGUMENT_INVALID", std::string(name) + " is 0", "give a positive whole number");
    return value;
  }

  Size size(const char* height, const char* width) const { return {side(height), side(width)}; }

  /// The Uint8Array `name`, which must have `bytes` bytes.
  uint8_t* bytes(const char* name, size_t bytes) const { return checked_bytes(object_.Get(name), name, bytes); }

  /// The Uint8Arrays of the array `name`, each of `bytes` bytes.
  std::vector<const uint8_t*> list_of_bytes(const char* name, size_t bytes) const {
    const Napi::Value value = object_.Get(name);
    if (!value.IsArray()) throw Error("VG_ARGUMENT_INVALID", std::string(name) + " is not an array");
    const auto array = value.As<Napi::Array>();
    std::vector<const uint8_t*> list;
    for (uint32_t i = 0; i < array.Length(); i++) {
      list.push_back(checked_bytes(array.Get(i), std::string(name) + "[" + std::to_string(i) + "]", bytes));
    }
    if (list.empty()) throw Error("VG_ARGUMENT_INVALID", std::string(name) + " is empty", "pass at least one");
    return list;
  }

 private:
  static uint8_t* checked_bytes(Napi::Value value, const std::string& name, size_t bytes) {
    const auto found = to_bytes(value, name);
    if (found.size() != bytes) {
      throw Error("VG_ARGUMENT_INVALID",
                  name + " has " + std::to_string(found.size()) + " bytes, but the sizes given make it " + std::to_string(bytes));
    }
    return reinterpret_cast<uint8_t*>(found.data());
  }

  Napi::Object object_;
};

size_t raster_bytes(Size size) { return static_cast<size_t>(size.height) * size.width * kChannels; }

/// A worker over the memory of the request's arrays. JavaScript filled in the result's array before it asked.
class ImagingWorker : public PromiseWorker {
 public:
  ImagingWorker(Napi::Env env, const Request& request) : PromiseWorker(env) { keep(request.object()); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }
};

class ResizeWorker final : public ImagingWorker {
 public:
  ResizeWorker(Napi::Env env, const Request& request)
      : ImagingWorker(env, request),
        from_(request.size("height", "width")),
        to_(request.size("toHeight", "toWidth")),
        rgb_(request.bytes("rgb", raster_bytes(from_))),
        result_(request.bytes("result", raster_bytes(to_))) {}

  void execute() override {
    const size_t row_bytes = static_cast<size_t>(to_.width) * kChannels;
    imaging::resize_bicubic(rgb_, from_, to_,
                            [&](int y, const uint8_t* row) { std::memcpy(result_ + y * row_bytes, row, row_bytes); });
  }

 private:
  Size from_, to_;
  const uint8_t* rgb_;
  uint8_t* result_;
};

class PatchifyWorker final : public ImagingWorker {
 public:
  PatchifyWorker(Napi::Env env, const Request& request)
      : ImagingWorker(env, request),
        from_(request.size("height", "width")),
        to_(request.size("toHeight", "toWidth")),
        layout_{request.side("patchSize"), request.side("mergeSize"), request.side("temporalPatchSize")},
        frames_(request.list_of_bytes("frames", raster_bytes(from_))),
        pixels_(request.bytes("pixels", imaging::PatchWriter::size_bytes(to_, frame_count(), layout_))) {
    const int64_t block = static_cast<int64_t>(layout_.patch) * layout_.merge;
    if (to_.height % block != 0 || to_.width % block != 0) {
      throw Error("VG_ARGUMENT_INVALID", "the resized frame is not made of whole blocks of " + std::to_string(block) + " pixels");
    }
  }

  void execute() override {
    const imaging::PatchWriter writer(to_, frame_count(), layout_, pixels_);
    for (int frame = 0; frame < frame_count(); frame++) {
      imaging::resize_bicubic(frames_[frame], from_, to_,
                              [&](int y, const uint8_t* row) { writer.write_row(frame, y, row); });
    }
  }

 private:
  int frame_count() const { return static_cast<int>(frames_.size()); }

  Size from_, to_;
  PatchLayout layout_;
  std::vector<const uint8_t*> frames_;
  uint8_t* pixels_;
};

class CmykWorker final : public ImagingWorker {
 public:
  CmykWorker(Napi::Env env, const Request& request)
      : ImagingWorker(env, request),
        pixels_(to_bytes(request.object().Get("cmyk"), "cmyk").size() / 4),
        cmyk_(request.bytes("cmyk", pixels_ * 4)),
        rgb_(request.bytes("rgb", pixels_ * kChannels)) {}

  void execute() override { imaging::cmyk_to_rgb(cmyk_, pixels_, rgb_); }

 private:
  size_t pixels_;
  const uint8_t* cmyk_;
  uint8_t* rgb_;
};

template <typename Worker>
Napi::Value start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] { return run_on_pool(env, std::make_unique<Worker>(env, Request(info))); });
}

}  // namespace

void register_imaging(Napi::Env env, Napi::Object exports) {
  exports.Set("resizeFrame", Napi::Function::New(env, start<ResizeWorker>, "resizeFrame"));
  exports.Set("patchifyFrames", Napi::Function::New(env, start<PatchifyWorker>, "patchifyFrames"));
  exports.Set("cmykToRgb", Napi::Function::New(env, start<CmykWorker>, "cmykToRgb"));
}

}  // namespace vitgraph::napi
