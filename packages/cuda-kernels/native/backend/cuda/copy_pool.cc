#include "backend/cuda/copy_pool.h"

#include <algorithm>
#include <cstring>
#include <system_error>

#include "common/finite.h"

namespace vitgraph::cuda {
namespace {

/// The smallest page size.
constexpr std::size_t kPage = std::size_t{4} << 10;

void touch_pages(std::span<std::byte> memory) {
  for (std::size_t at = 0; at < memory.size();) {
    static_cast<volatile std::byte&>(memory[at]) = std::byte{0};
    at += kPage - reinterpret_cast<std::uintptr_t>(&memory[at]) % kPage;
  }
}

}  // namespace

CopyPool::CopyPool(int threads) {
  try {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    // The system starts no more threads. Those that run will do, or none: the waiting thread copies, too.
  }
}

CopyPool::~CopyPool() { stop(); }

void CopyPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  posted_or_ending_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void CopyPool::post(const Copy& copy) {
  std::size_t count = 0;
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t at = 0; at < copy.to.size(); ++count) {
      // In steps of 16 bytes, so that no element is cut.
      const std::size_t behind = reinterpret_cast<std::uintptr_t>(copy.to.data() + at) / 16 * 16 % copy.part_bytes;
      const std::size_t to_boundary = copy.part_bytes - behind;
      Copy part = copy;
      part.to = copy.to.subspan(at, std::min(to_boundary, copy.to.size() - at));
      if (part.from != nullptr) part.from += at;
      part.first_element += static_cast<std::int64_t>(at / size_of(copy.dtype));
      parts_.push_back(part);
      at += part.to.size();
    }
    *copy.parts_left += count;
    unfinished_ += count;
  }
  // One part is left for the posting thread, which soon waits and helps.
  for (std::size_t i = 1; i < std::min(count, threads_.size() + 1); ++i) posted_or_ending_.notify_one();
}

void CopyPool::touch(std::span<std::byte> memory, std::size_t part_bytes, std::size_t& parts_left) {
  post({.to = memory,
        .from = nullptr,
        .part_bytes = part_bytes,
        .dtype = DType::f32,
        .first_element = 0,
        .first_non_finite = nullptr,
        .parts_left = &parts_left});
}

void CopyPool::wait_for(const std::size_t& parts_left) {
  std::unique_lock lock(mutex_);
  while (parts_left > 0) {
    if (!parts_.empty())
      run_one(lock);
    else
      done_.wait(lock);
  }
}

void CopyPool::wait_for_all() { wait_for(unfinished_); }

void CopyPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    posted_or_ending_.wait(lock, [this] { return ending_ || !parts_.empty(); });
    if (parts_.empty()) return;
    run_one(lock);
  }
}

void CopyPool::run_one(std::unique_lock<std::mutex>& lock) {
  const Copy part = parts_.front();
  parts_.pop_front();
  lock.unlock();
  std::int64_t bad = -1;
  if (part.from == nullptr) {
    touch_pages(part.to);
  } else {
    std::memcpy(part.to.data(), part.from, part.to.size());
    bad = first_non_finite(part.to, part.dtype);
  }
  lock.lock();
  if (bad >= 0) {
    std::int64_t& first = *part.first_non_finite;
    const std::int64_t at = part.first_element + bad;
    if (first < 0 || at < first) first = at;
  }
  --*part.parts_left;
  --unfinished_;
  done_.notify_all();
}

}  // namespace vitgraph::cuda
