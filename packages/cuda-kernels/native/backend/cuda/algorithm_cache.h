// The fastest measured implementation of each matrix product, on disk. Measuring takes a second, and the result changes
// only with the device, the driver, the library and the shape, which make up the key.
//
// Used by JavaScript's thread, which loads programs, and by the beginning thread, which measures.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace vitgraph::cuda {

class AlgorithmCache {
 public:
  /// `path` is a text file with one entry per line; empty disables the file. An unreadable file counts as empty.
  explicit AlgorithmCache(std::string path);

  std::optional<std::string> find(const std::string& key) const;
  /// Stores in memory; `save` writes the file.
  void store(const std::string& key, const std::string& value);
  /// Writes a temporary file and renames it, so that readers never see a partial one. Failures are ignored: the cache
  /// only saves time.
  void save();

 private:
  const std::string path_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::string> entries_;
  bool changed_ = false;
};

}  // namespace vitgraph::cuda
