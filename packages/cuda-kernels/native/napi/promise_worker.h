// The base class of work on other threads that settles a promise.
//
// Constructed on JavaScript's thread; `execute` and then `complete` run on other threads, without N-API; `result` runs on
// JavaScript's thread again. The other threads are those of a WorkerThread (in order, in two stages) or libuv's pool
// (run_on_pool). If the environment goes away first, the worker is destroyed on JavaScript's thread and its promise is
// never settled.
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
  /// The part that waits for the device, so that later workers can begin meanwhile. @throws anything; it rejects the
  /// promise.
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
