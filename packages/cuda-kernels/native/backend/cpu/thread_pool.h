// A fixed set of threads that share the chunks of one loop at a time. The calling thread takes part.
//
// Not a task queue: one caller, one loop, and nothing is allocated. Chunks are distributed dynamically, so delayed
// threads take fewer; a thread that wakes too late takes none, and no thread waits for it. Between loops the threads
// sleep in the kernel.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace vitgraph::cpu {

class ThreadPool {
 public:
  /// `threads` includes the caller: a pool of 1 starts none. @throws Error VG_DEVICE_FAILED
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  /// Ends the threads; loops run on the calling thread alone afterwards. Not during a loop.
  void stop();

  /// While this points at true, chunks that have not begun are skipped. Set by the caller between loops.
  void set_cancelled(const std::atomic<bool>* cancelled) { cancelled_ = cancelled; }

  /// Calls `body(chunk, thread)` once for each chunk below `chunks` (under 2^32), in about that order, on any thread,
  /// and returns when all are done. `thread` is below size(). The body must not throw, nor call back into the pool.
  template <typename Body>
  void parallel_for(std::size_t chunks, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run({chunks, const_cast<void*>(static_cast<const void*>(&body)),
         [](void* context, std::size_t chunk, int thread) { (*static_cast<Plain*>(context))(chunk, thread); }});
  }

 private:
  struct Loop {
    std::size_t chunks = 0;
    void* context = nullptr;
    void (*body)(void* context, std::size_t chunk, int thread) = nullptr;
  };

  void run(const Loop& loop);
  void help(int thread);
  void take_chunks(int thread);
  bool take(std::size_t& chunk);

  const std::atomic<bool>* cancelled_ = nullptr;
  /// Written before `untaken_`, and not again before every chunk is done: only a thread that has taken a chunk may read
  /// it. A late thread may take a chunk of the next loop.
  Loop loop_;
  alignas(64) std::atomic<std::uint32_t> untaken_{0};
  alignas(64) std::atomic<std::uint32_t> unfinished_{0};
  /// Incremented with every loop; sleeping threads wait for it.
  alignas(64) std::atomic<std::uint32_t> generation_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> helpers_;
  int size_ = 1;
};

}  // namespace vitgraph::cpu
