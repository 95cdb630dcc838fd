#include "napi/worker_thread.h"

#include <utility>

namespace vitgraph::napi {

std::shared_ptr<WorkerThread> WorkerThread::start(Napi::Env env, const char* name) {
  std::shared_ptr<WorkerThread> self(new WorkerThread());
  self->env_ = env;
  // The raw API: node-addon-api's wrapper throws from the very calls that may fail while an environment goes away.
  const napi_status status = napi_create_threadsafe_function(
      env, nullptr, nullptr, Napi::String::New(env, name), 0, 1, self.get(),
      [](napi_env, void* data, void*) {
        // Called when the worker has let go, or at teardown after `tear_down`: either way it is about to end, or has.
        auto* thread = static_cast<WorkerThread*>(data);
        if (thread->thread_.joinable()) thread->thread_.join();
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
  // Hooks run in reverse order: this one before the thread-safe function's own, which would close it under the worker.
  napi_add_env_cleanup_hook(env, tear_down, self.get());
  self->self_ = self;
  try {
    self->thread_ = std::thread([raw = self.get()] { raw->work(); });
  } catch (...) {
    // Nobody else will let go of it. Its finalizer then drops `self_`.
    napi_release_threadsafe_function(self->wake_, napi_tsfn_release);
    throw;
  }
  return self;
}

Napi::Promise WorkerThread::post(Napi::Env env, std::unique_ptr<PromiseWorker> worker) {
  const Napi::Promise promise = worker->promise();
  if (unsettled_++ == 0) napi_ref_threadsafe_function(env, wake_);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(worker));
  }
  posted_or_closing_.notify_one();
  return promise;
}

void WorkerThread::close() {
  if (std::exchange(closed_, true)) return;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  posted_or_closing_.notify_one();
}

void WorkerThread::work() {
  while (true) {
    std::unique_ptr<PromiseWorker> worker;
    {
      std::unique_lock lock(mutex_);
      posted_or_closing_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      if (queue_.empty() || cancelled_) break;
      worker = std::move(queue_.front());
      queue_.pop_front();
    }
    worker->run();
    {
      const std::lock_guard lock(mutex_);
      finished_.push_back(std::move(worker));
    }
    napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
  }
  napi_release_threadsafe_function(wake_, napi_tsfn_release);
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
    if (--unsettled_ == 0) napi_unref_threadsafe_function(env, wake_);
    worker->settle(env);
  }
}

void WorkerThread::tear_down(void* data) {
  auto* self = static_cast<WorkerThread*>(data);
  self->cancelled_ = true;
  self->close();
  if (self->thread_.joinable()) self->thread_.join();
  self->queue_.clear();
  self->finished_.clear();
}

}  // namespace vitgraph::napi
