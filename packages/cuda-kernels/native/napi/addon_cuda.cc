// The CUDA addon's registration list.
#include <napi.h>

#include "backend/cuda/cuda_backend.h"
#include "napi/addon_exports.h"
#include "napi/convert.h"

namespace vitgraph::napi {
namespace {

/// { device, cublasLtCandidates, algorithmCache, programmatic }
std::unique_ptr<Backend> create_backend(Napi::Object options) {
  cuda::CudaOptions cuda_options;
  cuda_options.device = static_cast<int>(to_count(options.Get("device"), "device", 1024));
  cuda_options.algorithm_cache = to_string(options.Get("algorithmCache"), "algorithmCache");
  cuda_options.programmatic = options.Get("programmatic").ToBoolean();
  const auto candidates = options.Get("cublasLtCandidates").As<Napi::Array>();
  for (std::uint32_t i = 0; i < candidates.Length(); ++i) {
    cuda_options.cublaslt_candidates.push_back(to_string(candidates.Get(i), "cublasLtCandidates"));
  }
  return cuda::create_cuda_backend(cuda_options);
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  export_addon(env, exports, create_backend);
  return exports;
}

NODE_API_MODULE(vitgraph_cuda, init)

}  // namespace
}  // namespace vitgraph::napi
