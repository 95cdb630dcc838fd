// Which way of computing a product won when it was last measured, on disk: measuring takes a second, and the answer only
// changes with the device, the driver, the library and the shape, which make up the key.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

namespace vitgraph::cuda {

class AlgorithmCache {
 public:
  /// `path` is a text file, a line an entry; empty means that nothing is kept. An unreadable file counts as empty.
  explicit AlgorithmCache(std::string path);

  std::optional<std::string> find(const std::string& key) const;
  /// Kept in memory, and written by `save`.
  void store(const std::string& key, const std::string& value);
  /// Writes a temporary file and renames it, so that a reader never sees half of one. Failing is no error: the cache
  /// only saves time.
  void save();

 private:
  std::string path_;
  std::unordered_map<std::string, std::string> entries_;
  bool changed_ = false;
};

}  // namespace vitgraph::cuda
