// The thread of one device: runs PromiseWorkers in the order in which they were posted, and settles them on
// JavaScript's thread. JavaScript's thread never waits for it, except while its environment is being torn down.
//
// Lifetime. The event loop stays alive while something is under way, and only then. `close` lets everything that was
// posted run, and then ends the thread. Teardown of the environment (a terminated worker_thread, or the process ending)
// cancels what is left: `cancelled()` turns true, the thread is joined, and workers that never settled are destroyed on
// JavaScript's thread, so that no reference outlives the environment.
#pragma once

#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "napi/promise_worker.h"

namespace vitgraph::napi {

class WorkerThread {
 public:
  /// Starts the thread. The object stays until the thread has ended, whoever else holds it.
  static std::shared_ptr<WorkerThread> start(Napi::Env env, const char* name);
  ~WorkerThread() = default;
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  /// On JavaScript's thread. Not after `close`.
  Napi::Promise post(Napi::Env env, std::unique_ptr<PromiseWorker> worker);

  /// No more posts; ends when what was posted is done. On JavaScript's thread, any number of times.
  void close();
  bool closed() const { return closed_; }

  /// True once nobody waits for results any more: long work looks at it and ends early. On any thread.
  const std::atomic<bool>& cancelled() const { return cancelled_; }

 private:
  WorkerThread() = default;

  void work();
  void settle_finished(Napi::Env env);
  static void tear_down(void* self);

  // JavaScript's thread only.
  std::shared_ptr<WorkerThread> self_;
  std::size_t unsettled_ = 0;
  bool closed_ = false;
  napi_env env_ = nullptr;

  // Shared.
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::condition_variable posted_or_closing_;
  std::deque<std::unique_ptr<PromiseWorker>> queue_;
  std::deque<std::unique_ptr<PromiseWorker>> finished_;
  bool closing_ = false;

  /// Wakes JavaScript's thread. The worker holds the only claim on it, and lets go as its last act.
  napi_threadsafe_function wake_ = nullptr;
  std::thread thread_;
};

}  // namespace vitgraph::napi
