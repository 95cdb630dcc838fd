// The CPU addon's registration list: the CPU backend, imaging, and weights.
#include <napi.h>

#include "backend/cpu/cpu_backend.h"
#include "napi/addon_exports.h"
#include "napi/convert.h"
#include "napi/imaging.h"
#include "napi/weights.h"

namespace vitgraph::napi {
namespace {

/// { threads, simd, gemm }
std::unique_ptr<Backend> create_backend(Napi::Object options) {
  cpu::CpuOptions cpu_options;
  cpu_options.threads = static_cast<int>(to_count(options.Get("threads"), "threads", 1024));
  cpu_options.simd = to_string(options.Get("simd"), "simd");
  cpu_options.gemm = to_string(options.Get("gemm"), "gemm");
  return cpu::create_cpu_backend(cpu_options);
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  export_addon(env, exports, create_backend);
  register_imaging(env, exports);
  register_weights(env, exports);
  return exports;
}

NODE_API_MODULE(vitgraph_cpu, init)

}  // namespace
}  // namespace vitgraph::napi
