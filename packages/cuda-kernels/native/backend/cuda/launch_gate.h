// Guards the result memory against the next run, upload or fill. A run closes the gate at launch, on the beginning
// thread. The finishing thread opens it once it has queued the copy of the results to staging memory on the compute
// stream. So at most one run's results are in that memory.
#pragma once

#include <condition_variable>
#include <mutex>

namespace vitgraph::cuda {

class LaunchGate {
 public:
  /// Returns when the gate is open. Terminates, since the run that closed it is always finished or destroyed.
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
