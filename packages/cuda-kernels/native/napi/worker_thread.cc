#include "napi/worker_thread.h"

#include <cstdlib>
#include <utility>
#include <vector>

namespace vitgraph::napi {
namespace {

/// One run downloads, one computes, one uploads: more would only wait.
constexpr std::size_t kMostUnfinished = 3;

/// The WorkerThreads whose threads run. Never destroyed, since exit handlers use it.
struct Running {
  std::mutex mutex;
  std::vector<WorkerThread*> threads;
};

Running& running() {
  static Running& self = *new Running();
  return self;
}

}  // namespace

std::shared_ptr<WorkerThread> WorkerThread::start(Napi::Env env, const char* name, std::function<void()> at_end) {
  std::shared_ptr<WorkerThread> self(new WorkerThread());
  self->env_ = env;
  self->at_end_ = std::move(at_end);
  // The raw API: node-addon-api's wrapper throws from the very calls that may fail while an environment goes away.
  const napi_status status = napi_create_threadsafe_function(
      env, nullptr, nullptr, Napi::String::New(env, name), 0, 1, self.get(),
      [](napi_env, void* data, void*) {
        // Called when the finishing thread has released the function, or at teardown after `tear_down`: both threads
        // have ended or are about to.
        auto* thread = static_cast<WorkerThread*>(data);
        thread->join();
        napi_remove_env_cleanup_hook(thread->env_, tear_down, thread);
        thread->self_.reset();
      },
      self.get(),
      [](napi_env raw_env, napi_value, void* context, void*) {
        if (raw_env != nullptr) static_cast<WorkerThread*>(context)->settle_finished(raw_env);
      },
      &self->wake_);
  if (status != napi_ok) throw Napi::Error::New(env);
  napi_unref_threadsafe_function(env, self->wake_);
  // Hooks run in reverse order: this one before the thread-safe function's own, which would close it under the threads.
  napi_add_env_cleanup_hook(env, tear_down, self.get());
  self->self_ = self;
  try {
    self->finisher_ = std::thread([raw = self.get()] { raw->finish_begun(); });
  } catch (...) {
    // No thread will release it. Its finalizer then resets `self_`.
    napi_release_threadsafe_function(self->wake_, napi_tsfn_release);
    throw;
  }
  try {
    self->beginner_ = std::thread([raw = self.get()] { raw->begin_posted(); });
  } catch (...) {
    // The finishing thread ends, and releases the function.
    const std::lock_guard lock(self->mutex_);
    self->all_begun_ = true;
    self->changed_.notify_all();
    throw;
  }
  // Handlers run in reverse order. Registered after the device's libraries were loaded, ours runs before theirs: CUDA
  // must not be called while it shuts down.
  static const int registered = std::atexit(end_all);
  static_cast<void>(registered);
  const std::lock_guard lock(running().mutex);
  running().threads.push_back(self.get());
  return self;
}

Napi::Promise WorkerThread::post(Napi::Env env, std::unique_ptr<PromiseWorker> worker) {
  const Napi::Promise promise = worker->promise();
  if (unsettled_++ == 0) napi_ref_threadsafe_function(env, wake_);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(worker));
  }
  changed_.notify_all();
  return promise;
}

void WorkerThread::close() {
  if (std::exchange(closed_, true)) return;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  // Idle threads end at once. Those that are busy are waited for when their last promise is settled.
  if (unsettled_ == 0) join();
}

void WorkerThread::begin_posted() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return queue_.empty() ? closing_ : cancelled_ || unfinished_ < kMostUnfinished; });
    if (queue_.empty() || cancelled_) break;
    std::unique_ptr<PromiseWorker> worker = std::move(queue_.front());
    queue_.pop_front();
    ++unfinished_;
    lock.unlock();
    worker->begin();
    lock.lock();
    begun_.push_back(std::move(worker));
    changed_.notify_all();
  }
  all_begun_ = true;
  changed_.notify_all();
}

void WorkerThread::finish_begun() {
  {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return all_begun_ || !begun_.empty(); });
      if (begun_.empty()) break;
      std::unique_ptr<PromiseWorker> worker = std::move(begun_.front());
      begun_.pop_front();
      lock.unlock();
      worker->finish();
      lock.lock();
      finished_.push_back(std::move(worker));
      --unfinished_;
      changed_.notify_all();
      napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
    }
  }
  std::exchange(at_end_, nullptr)();
  napi_release_threadsafe_function(wake_, napi_tsfn_release);
}

void WorkerThread::end() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  close();
  changed_.notify_all();
  join();
}

void WorkerThread::join() {
  if (beginner_.joinable()) beginner_.join();
  if (finisher_.joinable()) finisher_.join();
  const std::lock_guard lock(running().mutex);
  std::erase(running().threads, this);
}

void WorkerThread::end_all() {
  // The pointers stay valid without the lock, which `join` takes. Node has ended the environments of other threads before
  // it calls `exit`, and so their WorkerThreads; those left are of the environment on this thread, whose JavaScript and
  // finalizers no longer run.
  std::vector<WorkerThread*> threads;
  {
    const std::lock_guard lock(running().mutex);
    threads = running().threads;
  }
  for (WorkerThread* thread : threads) thread->end();
}

void WorkerThread::settle_finished(Napi::Env env) {
  while (true) {
    std::unique_ptr<PromiseWorker> worker;
    {
      const std::lock_guard lock(mutex_);
      if (finished_.empty()) return;
      worker = std::move(finished_.front());
      finished_.pop_front();
    }
    if (--unsettled_ == 0) {
      napi_unref_threadsafe_function(env, wake_);
      if (closed_) join();
    }
    worker->settle(env);
  }
}

void WorkerThread::tear_down(void* data) {
  auto* self = static_cast<WorkerThread*>(data);
  self->end();
  self->queue_.clear();
  self->finished_.clear();
}

}  // namespace vitgraph::napi
