#include "backend/cuda/algorithm_cache.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>

namespace vitgraph::cuda {

AlgorithmCache::AlgorithmCache(std::string path) : path_(std::move(path)) {
  std::ifstream file(path_);
  std::string line;
  while (std::getline(file, line)) {
    const std::size_t tab = line.find('\t');
    if (tab != std::string::npos) entries_[line.substr(0, tab)] = line.substr(tab + 1);
  }
}

std::optional<std::string> AlgorithmCache::find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  return found->second;
}

void AlgorithmCache::store(const std::string& key, const std::string& value) {
  const std::lock_guard lock(mutex_);
  entries_[key] = value;
  changed_ = true;
}

void AlgorithmCache::save() {
  const std::lock_guard lock(mutex_);
  if (!changed_ || path_.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), ignored);
  // Devices of one process may save at the same time.
  static std::atomic<unsigned> saves{0};
  const std::string temporary = path_ + "." + std::to_string(getpid()) + "." + std::to_string(saves++) + ".tmp";
  std::ofstream file(temporary);
  for (const auto& [key, value] : entries_) file << key << '\t' << value << '\n';
  // Flushes: a full disk shows only now.
  file.close();
  std::error_code failed;
  if (file) std::filesystem::rename(temporary, path_, failed);
  if (!file || failed) {
    std::filesystem::remove(temporary, ignored);
    return;
  }
  changed_ = false;
}

}  // namespace vitgraph::cuda
