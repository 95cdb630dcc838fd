#include "napi/imaging.h"

#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/checked_product.h"
#include "common/error.h"
#include "imaging/cmyk.h"
#include "imaging/patchify.h"
#include "imaging/resize.h"
#include "napi/bytes.h"
#include "napi/convert.h"
#include "napi/frame_handle.h"
#include "napi/handle.h"
#include "napi/request.h"

namespace vitgraph::napi {
namespace {

using imaging::Filter;
using imaging::kChannels;
using imaging::PatchLayout;
using imaging::Size;

// Far above any image, and low enough for products of a side with a few taps or channels to fit an int.
constexpr double kLongestSide = 1 << 24;

class ImagingRequest : public Request {
 public:
  using Request::Request;

  int side(const char* name) const { return static_cast<int>(positive(name, kLongestSide)); }

  Size size(const char* height, const char* width) const {
    const int rows = side(height);
    return {rows, side(width)};
  }

  Filter filter() const {
    const std::string name = to_string(get("filter"), "filter");
    if (name == "bicubic") return Filter::bicubic;
    if (name == "bilinear") return Filter::bilinear;
    if (name == "lanczos") return Filter::lanczos;
    throw Error("VG_ARGUMENT_INVALID", "filter is " + name, "give bicubic, bilinear or lanczos");
  }

  /// The Uint8Array or Frame `name`, which must have `bytes` bytes.
  InputBytes bytes(const char* name, size_t bytes) const { return copy(get(name), name, bytes); }

  double count(const char* name) const { return to_count(get(name), name, kMaxBytes); }

  /// The Uint8Arrays or Frames of the array `name`, each of `bytes` bytes.
  std::vector<InputBytes> list_of_bytes(const char* name, size_t bytes) const {
    const Napi::Value value = get(name);
    if (!value.IsArray()) throw Error("VG_ARGUMENT_INVALID", std::string(name) + " is not an array");
    const auto array = value.As<Napi::Array>();
    std::vector<InputBytes> list;
    for (uint32_t i = 0; i < array.Length(); i++) {
      list.push_back(copy(array.Get(i), std::string(name) + "[" + std::to_string(i) + "]", bytes));
    }
    if (list.empty()) throw Error("VG_ARGUMENT_INVALID", std::string(name) + " is empty", "pass at least one");
    return list;
  }

 private:
  static InputBytes copy(Napi::Value value, const std::string& name, size_t bytes) {
    if (FrameHandle::is_frame(value)) return unwrap<FrameHandle>(value, name).take(name, bytes);
    return Request::copy(value, name, bytes);
  }
};

size_t raster_bytes(Size size) {
  return checked_product({static_cast<size_t>(size.height), static_cast<size_t>(size.width), size_t{kChannels}});
}

/// The horizontal pass comes first. The image between the passes can be far larger than both ends: a column of pixels
/// that becomes a row is a square there. An image of 2^27 pixels within an aspect ratio of 200 stays below half of this.
constexpr size_t kMostBetweenPasses = size_t{1} << 30;

void check_between_passes(Size from, Size to) {
  const size_t between = raster_bytes({from.height, to.width});
  if (between <= kMostBetweenPasses) return;
  throw Error("VG_ARGUMENT_INVALID",
              "resizing " + std::to_string(from.width) + " × " + std::to_string(from.height) + " pixels to " +
                  std::to_string(to.width) + " × " + std::to_string(to.height) + " takes " + std::to_string(between) +
                  " bytes between its two passes, above the limit of " + std::to_string(kMostBetweenPasses),
              "keep closer to the aspect ratio");
}

class ImagingWorker : public PromiseWorker {
 public:
  ImagingWorker(Napi::Env env, size_t result_bytes) : PromiseWorker(env), result_(env, result_bytes) {}
  Napi::Value result(Napi::Env) override { return result_.array(); }

 protected:
  uint8_t* result_data() const { return result_.data(); }

 private:
  OutputBytes result_;
};

struct ResizeRequest {
  explicit ResizeRequest(const ImagingRequest& request)
      : from(request.size("height", "width")), to(request.size("toHeight", "toWidth")), filter(request.filter()) {
    check_between_passes(from, to);
    rgb.emplace(request.bytes("rgb", raster_bytes(from)));
  }

  size_t result_bytes() const { return raster_bytes(to); }

  Size from, to;
  Filter filter;
  std::optional<InputBytes> rgb;
};

class ResizeWorker final : public ImagingWorker {
 public:
  ResizeWorker(Napi::Env env, ResizeRequest request)
      : ImagingWorker(env, request.result_bytes()), request_(std::move(request)) {}

  void execute() override {
    const auto& [from, to, filter, rgb] = request_;
    const size_t row_bytes = raster_bytes({1, to.width});
    imaging::resize(filter, rgb->data(), from, to, [&](int y, const uint8_t* row) {
      std::memcpy(result_data() + static_cast<size_t>(y) * row_bytes, row, row_bytes);
    });
  }

 private:
  ResizeRequest request_;
};

struct PatchifyRequest {
  explicit PatchifyRequest(const ImagingRequest& request)
      : from(request.size("height", "width")),
        to(request.size("toHeight", "toWidth")),
        filter(request.filter()),
        layout(layout_of(request)) {
    const int64_t block = static_cast<int64_t>(layout.patch) * layout.merge;
    if (to.height % block != 0 || to.width % block != 0) {
      throw Error("VG_ARGUMENT_INVALID",
                  "the resized frame is not made of whole blocks of " + std::to_string(block) + " pixels");
    }
    check_between_passes(from, to);
    frames = request.list_of_bytes("frames", raster_bytes(from));
  }

  size_t result_bytes() const { return imaging::PatchWriter::size_bytes(to, frames.size(), layout); }

  static PatchLayout layout_of(const ImagingRequest& request) {
    const int patch = request.side("patchSize");
    const int merge = request.side("mergeSize");
    return {patch, merge, request.side("temporalPatchSize")};
  }

  Size from, to;
  Filter filter;
  PatchLayout layout;
  std::vector<InputBytes> frames;
};

class PatchifyWorker final : public ImagingWorker {
 public:
  PatchifyWorker(Napi::Env env, PatchifyRequest request)
      : ImagingWorker(env, request.result_bytes()), request_(std::move(request)) {}

  void execute() override {
    const auto& [from, to, filter, layout, frames] = request_;
    imaging::PatchWriter writer(to, frames.size(), layout, result_data());
    for (size_t frame = 0; frame < frames.size(); frame++) {
      imaging::resize(filter, frames[frame].data(), from, to,
                      [&](int y, const uint8_t* row) { writer.write_row(frame, y, row); });
    }
  }

 private:
  PatchifyRequest request_;
};

struct CmykRequest {
  explicit CmykRequest(const ImagingRequest& request)
      : pixels(static_cast<size_t>(request.count("pixels"))),
        cmyk(request.bytes("cmyk", checked_product({pixels, 4}))) {}

  size_t result_bytes() const { return pixels * kChannels; }

  size_t pixels;
  InputBytes cmyk;
};

class CmykWorker final : public ImagingWorker {
 public:
  CmykWorker(Napi::Env env, CmykRequest request)
      : ImagingWorker(env, request.result_bytes()), request_(std::move(request)) {}

  void execute() override { imaging::cmyk_to_rgb(request_.cmyk.data(), request_.pixels, result_data()); }

 private:
  CmykRequest request_;
};

}  // namespace

void register_imaging(Napi::Env env, Napi::Object exports) {
  exports.Set("Frame", FrameHandle::define(env));
  const auto set = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  set("resizeFrame", run_request<ResizeWorker, ResizeRequest, ImagingRequest>);
  set("patchifyFrames", run_request<PatchifyWorker, PatchifyRequest, ImagingRequest>);
  set("cmykToRgb", run_request<CmykWorker, CmykRequest, ImagingRequest>);
}

}  // namespace vitgraph::napi
