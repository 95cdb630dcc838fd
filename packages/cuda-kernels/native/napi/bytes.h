// The addon's rule for memory: native threads touch only memory that the addon owns.
//
// JavaScript may take an array's memory away at any time: transfer() and postMessage move it, resize() shrinks it,
// another thread writes to shared memory. A reference keeps the object alive and not its memory, and Node-API cannot
// pin memory. So
//
//   - InputBytes copies what a caller passes, on JavaScript's thread, and every check is made on the copy or on the
//     length that was copied. What the caller does to the array afterwards changes nothing. A large copy is made in
//     parts, through a Frame: each call of it copies the bytes that it is given.
//   - OutputBytes is an array that no JavaScript code can reach until the promise resolves to it.
//
// No other code of the addon keeps a pointer into an array. A span from `view_bytes` or `view_words` is valid until
// JavaScript runs again, and reading a property may run it (a getter): read everything else first.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace vitgraph::napi {

/// @throws Error VG_ARGUMENT_INVALID if the value is not a Uint8Array (Uint32Array): `name` is its name in the message.
std::span<const std::byte> view_bytes(Napi::Value value, const std::string& name);
std::span<const std::uint32_t> view_words(Napi::Value value, const std::string& name);

/// A copy of the words.
std::vector<std::uint32_t> copy_words(Napi::Value value, const std::string& name);

/// A copy of a caller's bytes. Constructed on JavaScript's thread, read on any.
class InputBytes {
 public:
  /// @throws std::bad_alloc
  explicit InputBytes(std::span<const std::byte> from);
  /// Memory for a copy that is made in parts, not zeroed. @throws std::bad_alloc
  explicit InputBytes(std::size_t size);

  std::span<std::byte> span() const { return {memory_.get(), size_}; }
  const std::uint8_t* data() const { return reinterpret_cast<const std::uint8_t*>(memory_.get()); }

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::size_t size_;
};

/// Memory that becomes the caller's Uint8Array once all of it has been written: it is not zeroed. Constructed and
/// destroyed on JavaScript's thread, written on any.
class OutputBytes {
 public:
  /// @throws Error VG_DEVICE_OUT_OF_MEMORY
  OutputBytes(Napi::Env env, std::size_t size);

  std::span<std::byte> span() const { return span_; }
  std::uint8_t* data() const { return reinterpret_cast<std::uint8_t*>(span_.data()); }

  /// The array. Nothing may write to it afterwards.
  Napi::Value array() const { return array_.Value(); }

 private:
  Napi::ObjectReference array_;
  std::span<std::byte> span_;
};

}  // namespace vitgraph::napi
