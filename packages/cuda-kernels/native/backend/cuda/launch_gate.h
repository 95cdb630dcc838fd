// Whether the device's memory may be written by what comes next. A run closes the gate when it is launched, on the
// beginning thread; it opens when its results were given to the compute stream to be put aside, on the finishing
// thread. So at most one run's results lie where the next run, an upload or a fill would write.
#pragma once

#include <condition_variable>
#include <mutex>

namespace vitgraph::cuda {

class LaunchGate {
 public:
  /// Returns when it is open. The run that closed it is always finished or destroyed, so that this ends.
  void wait() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [this] { return open_; });
  }

  void close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }

  void open() {
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
    }
    opened_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = true;
};

}  // namespace vitgraph::cuda
