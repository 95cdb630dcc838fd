#include "napi/weights.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/dtype.h"
#include "common/error.h"
#include "napi/bytes.h"
#include "napi/request.h"
#include "weights/convert.h"
#include "weights/fold_norm.h"

namespace vitgraph::napi {
namespace {

constexpr double kMostColumns = 1 << 30;

/// The dtype `name`: f32, bf16 or, where it is read and not written, f16.
DType float_dtype(const Request& request, const char* name, bool reads_f16) {
  const std::string dtype = to_string(request.get(name), name);
  if (dtype == "f32") return DType::f32;
  if (dtype == "bf16") return DType::bf16;
  if (dtype == "f16" && reads_f16) return DType::f16;
  throw Error("VG_ARGUMENT_INVALID", std::string(name) + " is " + dtype,
              reads_f16 ? "give f32, bf16 or f16" : "give f32 or bf16");
}

/// The whole elements, or rows of them, that `bytes` has.
std::size_t whole_units(const char* name, const InputBytes& bytes, std::size_t unit_bytes, const char* unit) {
  const std::size_t size = bytes.span().size();
  if (size % unit_bytes == 0) return size / unit_bytes;
  throw Error("VG_ARGUMENT_INVALID", std::string(name) + " has " + std::to_string(size) +
                                         " bytes, which are not whole " + unit + " of " + std::to_string(unit_bytes));
}

struct ConvertRequest {
  explicit ConvertRequest(const Request& request)
      : from(float_dtype(request, "from", true)),
        to(float_dtype(request, "to", false)),
        bytes(request.bytes("bytes")),
        count(whole_units("bytes", bytes, size_of(from), "elements")) {}

  DType from, to;
  InputBytes bytes;
  std::size_t count;
};

class ConvertWorker final : public PromiseWorker {
 public:
  ConvertWorker(Napi::Env env, ConvertRequest request)
      : PromiseWorker(env), request_(std::move(request)), result_(env, request_.count * size_of(request_.to)) {}

  Napi::Value result(Napi::Env) override { return result_.array(); }

 private:
  void execute() override {
    const auto& [from, to, bytes, count] = request_;
    weights::convert(bytes.data(), from, count, result_.data(), to);
  }

  ConvertRequest request_;
  OutputBytes result_;
};

const float* floats(const InputBytes& bytes) { return reinterpret_cast<const float*>(bytes.data()); }
const float* floats(const std::optional<InputBytes>& bytes) { return bytes ? floats(*bytes) : nullptr; }

struct FoldRequest {
  explicit FoldRequest(const Request& request)
      : from(float_dtype(request, "from", true)),
        to(float_dtype(request, "to", false)),
        columns(request.positive("columns", kMostColumns)),
        centred(request.get("centred").ToBoolean()),
        weight(request.bytes("weight")),
        rows(whole_units("weight", weight, columns * size_of(from), "rows")),
        scale(request.bytes("scale", columns * sizeof(float))),
        shift(optional(request, "shift", columns)),
        bias(optional(request, "bias", rows)) {}

  static std::optional<InputBytes> optional(const Request& request, const char* name, std::size_t elements) {
    if (request.get(name).IsUndefined()) return std::nullopt;
    return request.bytes(name, elements * sizeof(float));
  }

  DType from, to;
  std::size_t columns;
  bool centred;
  InputBytes weight;
  std::size_t rows;
  InputBytes scale;
  std::optional<InputBytes> shift, bias;
};

class FoldWorker final : public PromiseWorker {
 public:
  FoldWorker(Napi::Env env, FoldRequest request)
      : PromiseWorker(env),
        request_(std::move(request)),
        weight_(env, request_.rows * request_.columns * size_of(request_.to)),
        u_(env, request_.rows * sizeof(float)),
        v_(env, request_.rows * sizeof(float)) {}

  Napi::Value result(Napi::Env env) override {
    const Napi::Object result = Napi::Object::New(env);
    result.Set("weight", weight_.array());
    result.Set("u", u_.array());
    result.Set("v", v_.array());
    return result;
  }

 private:
  void execute() override {
    const FoldRequest& r = request_;
    weights::fold_norm(
        {r.weight.data(), r.from, r.rows, r.columns, floats(r.scale), floats(r.shift), floats(r.bias), r.centred},
        {weight_.data(), r.to, reinterpret_cast<float*>(u_.data()), reinterpret_cast<float*>(v_.data())});
  }

  FoldRequest request_;
  OutputBytes weight_, u_, v_;
};

}  // namespace

void register_weights(Napi::Env env, Napi::Object exports) {
  exports.Set("convertFloats", Napi::Function::New(env, run_request<ConvertWorker, ConvertRequest>, "convertFloats"));
  exports.Set("foldNorm", Napi::Function::New(env, run_request<FoldWorker, FoldRequest>, "foldNorm"));
}

}  // namespace vitgraph::napi
