// Threads that copy results out of pinned memory, and look for NaN while the bytes are in the caches. Most of such a
// copy would be the system finding pages for memory that nobody has touched yet, which it does for several threads at
// once: so they touch that memory first, while the results are still being computed.
//
// Knows no CUDA. Work is posted and waited for by one thread, the device's finishing one, which helps while it waits.
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
    /// Null where memory is only touched.
    const std::byte* from;
    /// The copy is shared out in parts that end where the address in `to` is a multiple of this, or a few bytes behind.
    std::size_t part_bytes;
    DType dtype;
    /// Index of the copy's first element in what it is part of.
    std::int64_t first_element;
    /// Becomes the index of the first element that is not finite, unless it holds a smaller one already. -1 for none.
    std::int64_t* first_non_finite;
    /// Counts the parts of the copy that are not done.
    std::size_t* parts_left;
  };

  /// `threads` besides the one that waits.
  explicit CopyPool(int threads);
  ~CopyPool();
  CopyPool(const CopyPool&) = delete;
  CopyPool& operator=(const CopyPool&) = delete;

  /// Ends the threads, after the copies that were posted.
  void stop();
  void post(const Copy& copy);
  /// Has the system find pages for memory that is going to be written. What is in it is lost.
  /// @param part_bytes, parts_left as of a copy
  void touch(std::span<std::byte> memory, std::size_t part_bytes, std::size_t& parts_left);
  /// Returns when the copies that count there are done.
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
