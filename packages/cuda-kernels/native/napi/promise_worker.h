// Work that leaves JavaScript's thread and comes back as a promise: the one base class for all of it.
//
// Made on JavaScript's thread; `execute` and then `complete` run on other threads, without N-API; `result` again on
// JavaScript's thread. Whoever runs it decides which threads: a WorkerThread (in order, in two stages) or run_on_pool
// (libuv's pool).
// If the environment goes away first, the worker is destroyed on JavaScript's thread and its promise stays open.
#pragma once

#include <napi.h>

#include <exception>
#include <memory>

namespace vitgraph::napi {

class PromiseWorker {
 public:
  explicit PromiseWorker(Napi::Env env) : deferred_(Napi::Promise::Deferred::New(env)) {}
  virtual ~PromiseWorker() = default;
  PromiseWorker(const PromiseWorker&) = delete;
  PromiseWorker& operator=(const PromiseWorker&) = delete;

  Napi::Promise promise() const { return deferred_.Promise(); }

  /// Calls `execute`, and keeps what it throws for `settle`. On any thread, once.
  void begin() noexcept;

  /// Calls `complete` unless `execute` threw, and keeps what it throws. On any thread, once, after `begin`.
  void finish() noexcept;

  /// Resolves or rejects the promise. On JavaScript's thread, after `finish`.
  void settle(Napi::Env env);

 protected:
  /// @throws anything; it rejects the promise.
  virtual void execute() = 0;
  /// What has to wait for others, so that work behind this one can begin meanwhile. @throws anything, too.
  virtual void complete() {}
  /// What the promise resolves to.
  virtual Napi::Value result(Napi::Env env) = 0;

 private:
  Napi::Promise::Deferred deferred_;
  std::exception_ptr error_;
};

/// Runs the worker on libuv's thread pool, in no particular order.
Napi::Promise run_on_pool(Napi::Env env, std::unique_ptr<PromiseWorker> worker);

}  // namespace vitgraph::napi
