// Threads that copy results out of pinned memory, and check for NaN while the bytes are in cache. Page faults in fresh
// destination memory would dominate such a copy, and the kernel serves them for several threads in parallel. So the
// threads touch the destination first, while the results are still being computed.
//
// Free of CUDA. One thread, the device's finishing thread, posts work and waits for it; it helps while it waits.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "common/dtype.h"

namespace vitgraph::cuda {

class CopyPool {
 public:
  struct Copy {
    std::span<std::byte> to;
    /// Null if memory is only touched.
    const std::byte* from;
    /// The copy is split into parts that end where the address in `to` is a multiple of this, or a few bytes after it.
    std::size_t part_bytes;
    DType dtype;
    /// Index of the copy's first element in the whole result.
    std::int64_t first_element;
    /// Set to the index of the first non-finite element, unless it already holds a smaller one. -1 for none.
    std::int64_t* first_non_finite;
    /// Number of unfinished parts.
    std::size_t* parts_left;
  };

  /// `threads` in addition to the waiting one.
  explicit CopyPool(int threads);
  ~CopyPool();
  CopyPool(const CopyPool&) = delete;
  CopyPool& operator=(const CopyPool&) = delete;

  /// Ends the threads after all posted copies.
  void stop();
  void post(const Copy& copy);
  /// Faults in the pages of memory that is about to be written. Its contents are lost.
  /// @param part_bytes, parts_left as of a copy
  void touch(std::span<std::byte> memory, std::size_t part_bytes, std::size_t& parts_left);
  /// Returns when the copies counted by `parts_left` are done.
  void wait_for(const std::size_t& parts_left);
  /// Returns when all copies are done.
  void wait_for_all();

 private:
  void work();
  /// Takes the oldest part and runs it without the lock.
  void run_one(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable posted_or_ending_;
  std::condition_variable done_;
  std::deque<Copy> parts_;
  std::size_t unfinished_ = 0;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace vitgraph::cuda
