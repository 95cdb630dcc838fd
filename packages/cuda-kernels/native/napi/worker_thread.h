// The threads of one device: one begins PromiseWorkers in the order in which they were posted, another finishes them in
// the same order, and JavaScript's thread settles them, again in that order. So the next run can be made ready while
// one is waited for. JavaScript's thread never waits for their work, except while its environment is being torn down.
//
// Lifetime. The event loop stays alive while something is under way, and only then. `close` lets everything that was
// posted run. The threads have ended when it returns or, where something was under way, before the last promise is
// settled. Teardown of the environment (a terminated worker_thread, or the process ending) cancels what is left:
// `cancelled()` turns true, what was begun is still finished (and looks at `cancelled()`), the threads are joined, and
// workers that never settled are destroyed on JavaScript's thread, so that no reference outlives the environment.
#pragma once

#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "napi/promise_worker.h"

namespace vitgraph::napi {

class WorkerThread {
 public:
  /// Starts the threads. The object lives at least until they have ended. The finishing thread calls `at_end` after the
  /// last worker, and then destroys it.
  static std::shared_ptr<WorkerThread> start(Napi::Env env, const char* name, std::function<void()> at_end);
  ~WorkerThread() = default;
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  /// On JavaScript's thread. Not after `close`.
  Napi::Promise post(Napi::Env env, std::unique_ptr<PromiseWorker> worker);

  /// No more posts. On JavaScript's thread, any number of times.
  void close();
  bool closed() const { return closed_; }

  /// True once the environment is being torn down: long work checks it and ends early. On any thread.
  const std::atomic<bool>& cancelled() const { return cancelled_; }

 private:
  WorkerThread() = default;

  void begin_posted();
  void finish_begun();
  /// Cancels what is left, and returns when the threads have ended.
  void end();
  void join();
  static void end_all();
  void settle_finished(Napi::Env env);
  static void tear_down(void* self);

  // JavaScript's thread only.
  std::shared_ptr<WorkerThread> self_;
  std::size_t unsettled_ = 0;
  bool closed_ = false;
  napi_env env_ = nullptr;

  // Shared.
  std::atomic<bool> cancelled_{false};
  /// The finishing thread's.
  std::function<void()> at_end_;
  std::mutex mutex_;
  /// Notified when a worker is posted, begun or finished, and when the threads are to end.
  std::condition_variable changed_;
  std::deque<std::unique_ptr<PromiseWorker>> queue_;
  std::deque<std::unique_ptr<PromiseWorker>> begun_;
  /// Begun and not finished: those in `begun_`, and the one that is being finished.
  std::size_t unfinished_ = 0;
  std::deque<std::unique_ptr<PromiseWorker>> finished_;
  bool closing_ = false;
  bool all_begun_ = false;

  /// Wakes JavaScript's thread. The finishing thread holds the only reference, and releases it last.
  napi_threadsafe_function wake_ = nullptr;
  std::thread beginner_;
  std::thread finisher_;
};

}  // namespace vitgraph::napi
