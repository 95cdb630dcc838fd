// The file of autotune results: what is written is read again, and a failed write leaves the old file as it was.
#include "backend/cuda/algorithm_cache.h"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "test/expect.h"

namespace vitgraph {
namespace {

using cuda::AlgorithmCache;
namespace fs = std::filesystem;

/// A new empty folder, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_(fs::temp_directory_path() / ("vitgraph-algorithms-" + std::to_string(getpid()))) {
    fs::create_directories(path_);
  }
  ~TemporaryFolder() { fs::remove_all(path_); }

  std::string file(const char* name) const { return path_ / name; }
  std::string count() const {
    return std::to_string(std::distance(fs::directory_iterator(path_), fs::directory_iterator()));
  }

 private:
  fs::path path_;
};

std::string found(const AlgorithmCache& cache, const std::string& key) { return cache.find(key).value_or("nothing"); }

void test_saved_entries_are_found(const TemporaryFolder& folder) {
  const std::string path = folder.file("new/algorithms.tsv");
  AlgorithmCache cache(path);
  cache.store("H100 linear", "hopper 128x192");
  cache.store("H100 linear rotation", "cublaslt 3");
  cache.save();
  const AlgorithmCache read(path);
  expect("saved entries are found", found(read, "H100 linear") + ", " + found(read, "H100 linear rotation"),
         "hopper 128x192, cublaslt 3");
  expect("an unknown key is not", found(read, "A100 linear"), "nothing");
}

/// A limit on the size of files stands for a full disk: the write fails when it is flushed.
void test_a_full_disk_keeps_the_old_file(const TemporaryFolder& folder) {
  const std::string path = folder.file("algorithms.tsv");
  AlgorithmCache cache(path);
  cache.store("first", "portable");
  cache.save();
  const std::string files = folder.count();

  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit full{4, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &full);
  cache.store("second", "portable");
  cache.save();
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_DFL);

  const AlgorithmCache read(path);
  expect("a full disk keeps the old file", found(read, "first") + ", " + found(read, "second"), "portable, nothing");
  expect("and no other file", folder.count(), files);
  cache.save();
  expect("the next save writes it", found(AlgorithmCache(path), "second"), "portable");
}

}  // namespace

void test_algorithm_cache() {
  const TemporaryFolder folder;
  test_saved_entries_are_found(folder);
  test_a_full_disk_keeps_the_old_file(folder);
}

}  // namespace vitgraph
