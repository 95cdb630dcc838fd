#include "backend/cpu/thread_pool.h"

#include <string>
#include <system_error>

#include "common/error.h"

namespace vitgraph::cpu {

ThreadPool::ThreadPool(int threads) {
  helpers_.reserve(static_cast<std::size_t>(threads - 1));
  try {
    for (; size_ < threads; ++size_) helpers_.emplace_back([this, thread = size_] { help(thread); });
  } catch (const std::system_error&) {
    const int started = size_;
    stop();
    throw Error(
        "VG_DEVICE_FAILED",
        "the system started " + std::to_string(started) + " of the " + std::to_string(threads) + " threads asked for",
        "ask for fewer threads");
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
  helpers_.clear();
}

void ThreadPool::run(const Loop& loop) {
  if (loop.chunks == 0) return;
  loop_ = loop;
  const auto chunks = static_cast<std::uint32_t>(loop.chunks);
  unfinished_.store(chunks, std::memory_order_relaxed);
  untaken_.store(chunks, std::memory_order_release);
  // A single chunk is not worth a wake-up.
  if (!helpers_.empty() && chunks > 1) {
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  }
  take_chunks(0);
  for (std::uint32_t left = unfinished_.load(std::memory_order_acquire); left != 0;) {
    unfinished_.wait(left, std::memory_order_acquire);
    left = unfinished_.load(std::memory_order_acquire);
  }
}

void ThreadPool::help(int thread) {
  std::uint32_t seen = 0;
  while (true) {
    generation_.wait(seen, std::memory_order_acquire);
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    take_chunks(thread);
  }
}

void ThreadPool::take_chunks(int thread) {
  for (std::size_t chunk; take(chunk);) {
    if (cancelled_ == nullptr || !cancelled_->load(std::memory_order_relaxed)) loop_.body(loop_.context, chunk, thread);
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
  }
}

bool ThreadPool::take(std::size_t& chunk) {
  std::uint32_t untaken = untaken_.load(std::memory_order_relaxed);
  while (untaken != 0) {
    if (!untaken_.compare_exchange_weak(untaken, untaken - 1, std::memory_order_acquire, std::memory_order_relaxed))
      continue;
    chunk = loop_.chunks - untaken;
    return true;
  }
  return false;
}

}  // namespace vitgraph::cpu
