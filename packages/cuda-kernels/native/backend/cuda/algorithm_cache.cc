#include "backend/cuda/algorithm_cache.h"

#include <unistd.h>

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
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  return found->second;
}

void AlgorithmCache::store(const std::string& key, const std::string& value) {
  entries_[key] = value;
  changed_ = true;
}

void AlgorithmCache::save() {
  if (!changed_ || path_.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), ignored);
  const std::string temporary = path_ + "." + std::to_string(getpid()) + ".tmp";
  {
    std::ofstream file(temporary);
    for (const auto& [key, value] : entries_) file << key << '\t' << value << '\n';
    if (!file) return;
  }
  std::filesystem::rename(temporary, path_, ignored);
  changed_ = false;
}

}  // namespace vitgraph::cuda
