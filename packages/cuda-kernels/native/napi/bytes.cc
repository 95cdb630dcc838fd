#include "napi/bytes.h"

#include <cstring>

#include "common/error.h"
#include "common/large_pages.h"
#include "napi/addon_data.h"

namespace vitgraph::napi {
namespace {

Napi::TypedArray typed_array(Napi::Value value, napi_typedarray_type type, const std::string& name,
                             const char* expected) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    throw Error("VG_ARGUMENT_INVALID", name + " is not " + expected);
  }
  return value.As<Napi::TypedArray>();
}

/// Asks for length and address at once: Node-API's answer to each may differ from the one before.
std::span<std::byte> memory_of(Napi::TypedArray array) {
  std::size_t length = 0;
  void* data = nullptr;
  const napi_status status = napi_get_typedarray_info(array.Env(), array, nullptr, &length, &data, nullptr, nullptr);
  if (status != napi_ok) throw Napi::Error::New(array.Env());
  return {static_cast<std::byte*>(data), length * array.ElementSize()};
}

}  // namespace

std::span<const std::byte> view_bytes(Napi::Value value, const std::string& name) {
  return memory_of(typed_array(value, napi_uint8_array, name, "a Uint8Array"));
}

std::span<const std::uint32_t> view_words(Napi::Value value, const std::string& name) {
  const std::span<std::byte> bytes = memory_of(typed_array(value, napi_uint32_array, name, "a Uint32Array"));
  return {reinterpret_cast<const std::uint32_t*>(bytes.data()), bytes.size() / sizeof(std::uint32_t)};
}

std::vector<std::uint32_t> copy_words(Napi::Value value, const std::string& name) {
  const std::span<const std::uint32_t> words = view_words(value, name);
  return {words.begin(), words.end()};
}

InputBytes::InputBytes(std::size_t size) : memory_(std::make_unique_for_overwrite<std::byte[]>(size)), size_(size) {
  prefer_large_pages(span());
}

InputBytes::InputBytes(std::span<const std::byte> from) : InputBytes(from.size()) {
  if (!from.empty()) std::memcpy(memory_.get(), from.data(), from.size());
}

OutputBytes::OutputBytes(Napi::Env env, std::size_t size) {
  // Not Node-API's own call: it ends the process where there is no memory, and writes zeros that are overwritten.
  try {
    const auto size_value = Napi::Number::New(env, static_cast<double>(size));
    const Napi::Value buffer = addon_data(env).allocate_unfilled.Call({size_value});
    const auto memory = buffer.As<Napi::Uint8Array>().ArrayBuffer();
    array_ = Napi::Persistent(Napi::Uint8Array::New(env, size, memory, 0).As<Napi::Object>());
  } catch (const Napi::Error&) {
    throw Error("VG_DEVICE_OUT_OF_MEMORY",
                "the process has no memory for a result of " + std::to_string(size) + " bytes",
                "use smaller images or token budgets");
  }
  span_ = memory_of(array_.Value().As<Napi::TypedArray>());
}

}  // namespace vitgraph::napi
