#include "napi/promise_worker.h"

#include "napi/convert.h"

namespace vitgraph::napi {

void PromiseWorker::begin() noexcept {
  try {
    execute();
  } catch (...) {
    error_ = std::current_exception();
  }
}

void PromiseWorker::finish() noexcept {
  if (error_) return;
  try {
    complete();
  } catch (...) {
    error_ = std::current_exception();
  }
}

void PromiseWorker::settle(Napi::Env env) {
  Napi::HandleScope scope(env);
  try {
    if (!error_) {
      try {
        deferred_.Resolve(result(env));
        return;
      } catch (const Napi::Error&) {
        throw;
      } catch (...) {
        error_ = std::current_exception();
      }
    }
    deferred_.Reject(to_js_error(env, error_).Value());
  } catch (const Napi::Error&) {
    // A terminating environment refuses every call: the promise is never settled.
  }
}

namespace {

struct PoolWork {
  napi_async_work work = nullptr;
  std::unique_ptr<PromiseWorker> worker;
};

}  // namespace

Napi::Promise run_on_pool(Napi::Env env, std::unique_ptr<PromiseWorker> worker) {
  const Napi::Promise promise = worker->promise();
  auto pool_work = std::make_unique<PoolWork>();
  pool_work->worker = std::move(worker);
  napi_status status = napi_create_async_work(
      env, nullptr, Napi::String::New(env, "vitgraph"),
      [](napi_env, void* data) {
        PromiseWorker& worker = *static_cast<PoolWork*>(data)->worker;
        worker.begin();
        worker.finish();
      },
      [](napi_env raw_env, napi_status, void* data) {
        const std::unique_ptr<PoolWork> done(static_cast<PoolWork*>(data));
        done->worker->settle(raw_env);
        napi_delete_async_work(raw_env, done->work);
      },
      pool_work.get(), &pool_work->work);
  if (status == napi_ok) status = napi_queue_async_work(env, pool_work->work);
  if (status != napi_ok) {
    if (pool_work->work != nullptr) napi_delete_async_work(env, pool_work->work);
    throw Napi::Error::New(env, "libuv's thread pool takes no more work");
  }
  pool_work.release();
  return promise;
}

}  // namespace vitgraph::napi
