// Reads the fields of the object that JavaScript passes to a function. Reading a field may run JavaScript (a getter), so
// arrays are copied when they are read, after the numbers that bound them. See bytes.h.
#pragma once

#include <napi.h>

#include <cstddef>
#include <memory>
#include <string>

#include "common/error.h"
#include "napi/bytes.h"
#include "napi/convert.h"
#include "napi/promise_worker.h"

namespace vitgraph::napi {

class Request {
 public:
  explicit Request(const Napi::CallbackInfo& info) : object_(to_object(info[0], "the request")) {}

  Napi::Value get(const char* name) const { return object_.Get(name); }

  /// A whole number from 1 to `largest`.
  std::size_t positive(const char* name, double largest) const {
    const double value = to_count(get(name), name, largest);
    if (value == 0) throw Error("VG_ARGUMENT_INVALID", std::string(name) + " is 0", "give a positive whole number");
    return static_cast<std::size_t>(value);
  }

  /// The Uint8Array `name`.
  InputBytes bytes(const char* name) const { return InputBytes(view_bytes(get(name), name)); }

  /// The Uint8Array `name`, which must have `bytes` bytes.
  InputBytes bytes(const char* name, std::size_t bytes) const { return copy(get(name), name, bytes); }

 protected:
  static InputBytes copy(Napi::Value value, const std::string& name, std::size_t bytes) {
    const auto found = view_bytes(value, name);
    if (found.size() != bytes) {
      throw Error("VG_ARGUMENT_INVALID", name + " has " + std::to_string(found.size()) +
                                             " bytes, but the sizes given make it " + std::to_string(bytes));
    }
    return InputBytes(found);
  }

 private:
  Napi::Object object_;
};

/// A function of the addon: reads the object with `Fields`, and runs the Worker of the WorkerRequest that it makes.
template <typename Worker, typename WorkerRequest, typename Fields = Request>
Napi::Value run_request(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] { return run_on_pool(env, std::make_unique<Worker>(env, WorkerRequest(Fields(info)))); });
}

}  // namespace vitgraph::napi
