// The exception of native code. napi/ turns it into a JavaScript error with the same code; std::bad_alloc becomes
// VG_DEVICE_OUT_OF_MEMORY there, and any other exception VG_INTERNAL.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace vitgraph {

class Error : public std::runtime_error {
 public:
  /// `code` is one of the table in @vitgraph/errors; `fact` and `remedy` are the halves of the message.
  Error(const char* code, const std::string& fact, std::string remedy = {})
      : std::runtime_error(fact), code_(code), remedy_(std::move(remedy)) {}

  const char* code() const { return code_; }
  const std::string& remedy() const { return remedy_; }

 private:
  const char* code_;
  std::string remedy_;
};

/// Thrown by a run whose JavaScript environment is being torn down.
class Cancelled {};

}  // namespace vitgraph
