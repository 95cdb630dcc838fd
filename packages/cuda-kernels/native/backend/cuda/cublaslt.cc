#include "backend/cuda/cublaslt.h"

#include <dlfcn.h>

#include "backend/cuda/status.h"

namespace vitgraph::cuda {
namespace {

/// NVIDIA's recommendation for Hopper; less excludes its faster kernels.
constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
/// Heuristic results requested. Those after the first few seldom win.
constexpr int kProposals = 8;

// The part of the library's ABI that is used here.
using Handle = void*;
using Descriptor = void*;
using Status = int;
constexpr Status kSuccess = 0;
constexpr int kCompute32F = 68;
constexpr int kReal32F = 0;
constexpr int kRealBf16 = 14;
constexpr std::int32_t kTranspose = 1;

enum MatmulAttribute { kTransposeA = 3, kEpilogue = 7, kBiasPointer = 8, kBiasType = 26 };
enum PreferenceAttribute { kMaxWorkspaceBytes = 1, kMinAlignmentA = 5, kMinAlignmentB, kMinAlignmentC, kMinAlignmentD };
enum Epilogue : std::uint32_t { kEpilogueDefault = 1, kEpilogueBias = 4, kEpilogueGelu = 32, kEpilogueGeluBias = 36 };

struct HeuristicResult {
  MatmulAlgorithm algorithm;
  std::size_t workspace_bytes;
  Status state;
  float waves;
  int reserved[4];
};

}  // namespace

struct CublasLt::Api {
  Status (*create)(Handle*);
  Status (*destroy)(Handle);
  std::size_t (*version)();
  Status (*matmul_create)(Descriptor*, int compute, int scale);
  Status (*matmul_destroy)(Descriptor);
  Status (*matmul_set)(Descriptor, int attribute, const void* value, std::size_t bytes);
  Status (*layout_create)(Descriptor*, int type, std::uint64_t rows, std::uint64_t columns, std::int64_t stride);
  Status (*layout_destroy)(Descriptor);
  Status (*preference_create)(Descriptor*);
  Status (*preference_destroy)(Descriptor);
  Status (*preference_set)(Descriptor, int attribute, const void* value, std::size_t bytes);
  Status (*heuristic)(Handle, Descriptor matmul, Descriptor a, Descriptor b, Descriptor c, Descriptor d,
                      Descriptor preference, int requested, HeuristicResult* results, int* returned);
  Status (*matmul)(Handle, Descriptor matmul, const void* alpha, const void* a, Descriptor a_layout, const void* b,
                   Descriptor b_layout, const void* beta, const void* c, Descriptor c_layout, void* d,
                   Descriptor d_layout, const MatmulAlgorithm* algorithm, void* workspace, std::size_t workspace_bytes,
                   cudaStream_t stream);
};

class MatmulPlan {
 public:
  MatmulPlan(const CublasLt::Api& api, const LinearShape& shape) : api_(api), shape_(shape) {}
  ~MatmulPlan() {
    if (matmul != nullptr) api_.matmul_destroy(matmul);
    for (Descriptor layout : {a, b, c, d}) {
      if (layout != nullptr) api_.layout_destroy(layout);
    }
  }
  MatmulPlan(const MatmulPlan&) = delete;
  MatmulPlan& operator=(const MatmulPlan&) = delete;

  // The library is column-major: yᵀ [columns, rows] = weight · xᵀ, with weightᵀ [depth, columns] as its A.
  bool describe(const LinearPointers& pointers) {
    const auto set = [&](MatmulAttribute attribute, const auto& value) {
      return api_.matmul_set(matmul, attribute, &value, sizeof value) == kSuccess;
    };
    const Epilogue epilogue = shape_.gelu_tanh ? (shape_.bias ? kEpilogueGeluBias : kEpilogueGelu)
                                               : (shape_.bias ? kEpilogueBias : kEpilogueDefault);
    const auto rows = static_cast<std::uint64_t>(shape_.rows);
    const auto columns = static_cast<std::uint64_t>(shape_.columns);
    const auto depth = static_cast<std::uint64_t>(shape_.depth);
    return api_.matmul_create(&matmul, kCompute32F, kReal32F) == kSuccess && set(kTransposeA, kTranspose) &&
           set(kEpilogue, epilogue) &&
           (!shape_.bias || (set(kBiasPointer, pointers.bias) && set(kBiasType, kRealBf16))) &&
           api_.layout_create(&a, kRealBf16, depth, columns, shape_.weight_stride) == kSuccess &&
           api_.layout_create(&b, kRealBf16, depth, rows, shape_.x_stride) == kSuccess &&
           api_.layout_create(&c, kRealBf16, columns, rows,
                              shape_.residual ? shape_.residual_stride : shape_.y_stride) == kSuccess &&
           api_.layout_create(&d, kRealBf16, columns, rows, shape_.y_stride) == kSuccess;
  }

  const LinearShape& shape() const { return shape_; }

  Descriptor matmul = nullptr;
  Descriptor a = nullptr;
  Descriptor b = nullptr;
  Descriptor c = nullptr;
  Descriptor d = nullptr;

 private:
  const CublasLt::Api& api_;
  LinearShape shape_;
};

namespace {

template <typename Function>
bool resolve(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  return function != nullptr;
}

bool resolve_all(void* library, CublasLt::Api& api) {
  return resolve(library, "cublasLtCreate", api.create) && resolve(library, "cublasLtDestroy", api.destroy) &&
         resolve(library, "cublasLtGetVersion", api.version) &&
         resolve(library, "cublasLtMatmulDescCreate", api.matmul_create) &&
         resolve(library, "cublasLtMatmulDescDestroy", api.matmul_destroy) &&
         resolve(library, "cublasLtMatmulDescSetAttribute", api.matmul_set) &&
         resolve(library, "cublasLtMatrixLayoutCreate", api.layout_create) &&
         resolve(library, "cublasLtMatrixLayoutDestroy", api.layout_destroy) &&
         resolve(library, "cublasLtMatmulPreferenceCreate", api.preference_create) &&
         resolve(library, "cublasLtMatmulPreferenceDestroy", api.preference_destroy) &&
         resolve(library, "cublasLtMatmulPreferenceSetAttribute", api.preference_set) &&
         resolve(library, "cublasLtMatmulAlgoGetHeuristic", api.heuristic) &&
         resolve(library, "cublasLtMatmul", api.matmul);
}

}  // namespace

std::shared_ptr<CublasLt> CublasLt::open(const std::vector<std::string>& candidates,
                                         std::vector<std::string>& attempts) {
  for (const std::string& path : candidates) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* reason = dlerror();
      attempts.push_back(path + ": " + (reason == nullptr ? "cannot be opened" : reason));
      continue;
    }
    std::shared_ptr<CublasLt> self(new CublasLt());
    self->library_ = library;
    self->path_ = path;
    self->api_ = std::make_unique<Api>();
    if (!resolve_all(library, *self->api_)) {
      attempts.push_back(path + ": lacks a function that is needed");
      self->api_.reset();
      continue;
    }
    if (self->api_->create(&self->handle_) != kSuccess) {
      attempts.push_back(path + ": cublasLtCreate failed");
      self->handle_ = nullptr;
      continue;
    }
    self->workspace_ = std::make_unique<DeviceMemory>(kWorkspaceBytes);
    return self;
  }
  return nullptr;
}

CublasLt::~CublasLt() {
  if (handle_ != nullptr) api_->destroy(handle_);
  // Never closed: the library holds threads and memory, and does not support unloading.
}

std::size_t CublasLt::version() const { return api_->version(); }

std::shared_ptr<MatmulPlan> CublasLt::plan(const LinearShape& shape, const LinearPointers& pointers) {
  auto plan = std::make_shared<MatmulPlan>(*api_, shape);
  return plan->describe(pointers) ? plan : nullptr;
}

std::vector<MatmulAlgorithm> CublasLt::propose(const MatmulPlan& plan) const {
  Descriptor preference = nullptr;
  if (api_->preference_create(&preference) != kSuccess) return {};
  api_->preference_set(preference, kMaxWorkspaceBytes, &kWorkspaceBytes, sizeof kWorkspaceBytes);
  // The library assumes addresses aligned to 256 bytes by default.
  const std::uint32_t alignment = plan.shape().alignment;
  for (const int matrix : {kMinAlignmentA, kMinAlignmentB, kMinAlignmentC, kMinAlignmentD}) {
    api_->preference_set(preference, matrix, &alignment, sizeof alignment);
  }
  std::array<HeuristicResult, kProposals> results{};
  int returned = 0;
  const Status status = api_->heuristic(handle_, plan.matmul, plan.a, plan.b, plan.c, plan.d, preference, kProposals,
                                        results.data(), &returned);
  api_->preference_destroy(preference);
  std::vector<MatmulAlgorithm> algorithms;
  for (int i = 0; status == kSuccess && i < returned; ++i) {
    if (results[static_cast<std::size_t>(i)].state == kSuccess)
      algorithms.push_back(results[static_cast<std::size_t>(i)].algorithm);
  }
  return algorithms;
}

bool CublasLt::run(const MatmulPlan& plan, const LinearPointers& pointers, const MatmulAlgorithm& algorithm,
                   cudaStream_t stream) const {
  const float one = 1.0f;
  const float beta = plan.shape().residual ? 1.0f : 0.0f;
  const void* c = plan.shape().residual ? pointers.residual : pointers.y;
  return api_->matmul(handle_, plan.matmul, &one, pointers.weight, plan.a, pointers.x, plan.b, &beta, c, plan.c,
                      pointers.y, plan.d, &algorithm, workspace_->data(), workspace_->size_bytes(), stream) == kSuccess;
}

}  // namespace vitgraph::cuda
