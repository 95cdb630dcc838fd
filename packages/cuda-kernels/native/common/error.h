// The one exception that native code throws. napi/ turns it into a JavaScript error with the same code; what else is
// thrown (std::bad_alloc and the like) becomes VG_INTERNAL there.
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

/// Thrown out of a run that nobody waits for any more, since its JavaScript environment is going away.
class Cancelled {};

}  // namespace vitgraph
