// Shared by the handle classes: construction from C++ alone, and the check that a value is a handle.
#pragma once

#include <napi.h>

#include <string>

#include "common/checked_product.h"
#include "common/error.h"

namespace vitgraph::napi {

/// The argument of a handle's constructor. JavaScript can't make one, so it can't construct a handle.
template <typename Init>
Init& take_init(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  return *info[0].As<Napi::External<Init>>().Data();
}

template <typename Init>
Napi::Object construct(Napi::Env env, const Napi::FunctionReference& constructor, Init& init) {
  return constructor.New({Napi::External<Init>::New(env, &init)});
}

/// The C++ object of a handle. The type tag rejects handles of other classes and of other addons.
template <typename T>
T& unwrap(Napi::Value value, const std::string& name) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&T::kTag)) {
    throw Error("VG_ARGUMENT_INVALID", name + " is not " + T::kNoun + " of this device's backend");
  }
  return *T::Unwrap(value.As<Napi::Object>());
}

[[noreturn]] inline void disposed(const std::string& object) {
  throw Error("VG_DISPOSED", object + " was used after it had been disposed");
}

}  // namespace vitgraph::napi
