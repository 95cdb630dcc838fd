// How the native tests say that something is wrong.
#pragma once

#include <cstdio>
#include <string>

namespace vitgraph {

inline int failures = 0;

inline void expect(const char* test, const std::string& actual, const std::string& expected) {
  if (actual == expected) return;
  ++failures;
  std::printf("%s\n  expected: %s\n  actual:   %s\n", test, expected.c_str(), actual.c_str());
}

}  // namespace vitgraph
