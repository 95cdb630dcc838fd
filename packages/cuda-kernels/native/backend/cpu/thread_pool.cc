#include "backend/cpu/thread_pool.h"

namespace vitgraph::cpu {

ThreadPool::ThreadPool(int threads) {
  helpers_.reserve(static_cast<std::size_t>(threads - 1));
  for (int thread = 1; thread < threads; ++thread) helpers_.emplace_back([this, thread] { help(thread); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::run(const Loop& loop) {
  if (loop.chunks == 0) return;
  loop_ = loop;
  next_chunk_.store(0, std::memory_order_relaxed);
  // A single chunk is not worth waking anybody for.
  const bool alone = helpers_.empty() || loop.chunks == 1;
  if (!alone) {
    busy_helpers_.store(static_cast<int>(helpers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  }
  take_chunks(0);
  if (alone) return;
  for (int busy = busy_helpers_.load(std::memory_order_acquire); busy != 0;) {
    busy_helpers_.wait(busy, std::memory_order_acquire);
    busy = busy_helpers_.load(std::memory_order_acquire);
  }
}

void ThreadPool::help(int thread) {
  std::uint32_t seen = 0;
  while (true) {
    generation_.wait(seen, std::memory_order_acquire);
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    take_chunks(thread);
    if (busy_helpers_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_helpers_.notify_one();
  }
}

void ThreadPool::take_chunks(int thread) {
  while (true) {
    const std::size_t chunk = next_chunk_.fetch_add(1, std::memory_order_relaxed);
    if (chunk >= loop_.chunks) return;
    if (cancelled_ != nullptr && cancelled_->load(std::memory_order_relaxed)) return;
    loop_.body(loop_.context, chunk, thread);
  }
}

}  // namespace vitgraph::cpu
