// Converts JavaScript's values to C++, and C++ exceptions to JavaScript errors, which name the value. Arrays are in
// bytes.h.
#pragma once

#include <napi.h>

#include <exception>
#include <string>

namespace vitgraph::napi {

/// A JavaScript Error with `code`, `fact` and `remedy`, from which src/native.ts makes a VitgraphError.
Napi::Error to_js_error(Napi::Env env, std::exception_ptr error);

/// Runs `body`, and rethrows what native code throws as a JavaScript error. Every method that JavaScript calls is
/// wrapped in it.
template <typename Body>
auto guarded(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js_error(env, std::current_exception());
  }
}

/// @throws Error VG_ARGUMENT_INVALID: `name` is what the message calls the value.
Napi::Object to_object(Napi::Value value, const std::string& name);
std::string to_string(Napi::Value value, const std::string& name);
/// A whole number between 0 and `largest`.
double to_count(Napi::Value value, const std::string& name, double largest);

}  // namespace vitgraph::napi
