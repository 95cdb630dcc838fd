#include "napi/convert.h"

#include <cmath>
#include <cstdint>
#include <new>

#include "common/error.h"

namespace vitgraph::napi {
namespace {

Napi::Error make_error(Napi::Env env, const char* code, const std::string& fact, const std::string& remedy) {
  Napi::Error error = Napi::Error::New(env, fact);
  error.Set("code", Napi::String::New(env, code));
  error.Set("fact", Napi::String::New(env, fact));
  if (!remedy.empty()) error.Set("remedy", Napi::String::New(env, remedy));
  return error;
}

[[noreturn]] void wrong(const std::string& name, const std::string& expected) {
  throw Error("VG_ARGUMENT_INVALID", name + " is not " + expected);
}

}  // namespace

Napi::Error to_js_error(Napi::Env env, std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return make_error(env, e.code(), e.what(), e.remedy());
  } catch (const Cancelled&) {
    return make_error(env, "VG_DISPOSED", "the run was cancelled, since its device went away", "");
  } catch (const std::bad_alloc&) {
    return make_error(env, "VG_DEVICE_OUT_OF_MEMORY", "the process has no memory left", "use smaller token budgets");
  } catch (const std::exception& e) {
    return make_error(env, "VG_INTERNAL", e.what(), "");
  } catch (...) {
    return make_error(env, "VG_INTERNAL", "an unknown native exception", "");
  }
}

Napi::Object to_object(Napi::Value value, const std::string& name) {
  if (!value.IsObject()) wrong(name, "an object");
  return value.As<Napi::Object>();
}

std::string to_string(Napi::Value value, const std::string& name) {
  if (!value.IsString()) wrong(name, "a string");
  return value.As<Napi::String>().Utf8Value();
}

double to_count(Napi::Value value, const std::string& name, double largest) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= largest && number == std::floor(number))) {
    wrong(name, "a whole number from 0 to " + std::to_string(static_cast<std::uint64_t>(largest)));
  }
  return number;
}

}  // namespace vitgraph::napi
