#include "backend/cuda/cuda_device.h"

#include "backend/cuda/status.h"

namespace vitgraph::cuda {
namespace {

/// The first with bf16 arithmetic and asynchronous copies to shared memory.
constexpr int kOldestMajor = 8;

std::string why_unusable(cudaError_t status) {
  int driver = 0;
  if (status != cudaErrorInsufficientDriver || cudaDriverGetVersion(&driver) != cudaSuccess)
    return cudaGetErrorString(status);
  if (driver == 0) return "this machine has no NVIDIA driver";
  return "the NVIDIA driver supports CUDA " + version_text(driver) + ", and vitgraph was built with " +
         version_text(CUDART_VERSION);
}

}  // namespace

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

CudaDevice::CudaDevice(const CudaOptions& options)
    : ordinal_(options.device), programmatic_(options.programmatic), algorithms_(options.algorithm_cache) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || ordinal_ >= count) {
    cudaGetLastError();
    const std::string fact = status == cudaSuccess
                                 ? "there are " + std::to_string(count) + " CUDA devices, and device " +
                                       std::to_string(ordinal_) + " was asked for"
                                 : "no CUDA device can be used (" + why_unusable(status) + ")";
    throw Error("VG_BACKEND_UNAVAILABLE", fact, "check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or use backend \"cpu\"");
  }
  activate();
  check(cudaGetDeviceProperties(&properties_, ordinal_), "cannot read the device's properties");
  if (properties_.major < kOldestMajor) {
    throw Error("VG_BACKEND_UNAVAILABLE",
                std::string(properties_.name) + " has compute capability " + std::to_string(properties_.major) + "." +
                    std::to_string(properties_.minor),
                "vitgraph's kernels need 8.0 or newer: use backend \"cpu\"");
  }
  check(cudaDriverGetVersion(&driver_version_), "cannot read the driver's version");
  stream_ = make_stream();
  uploads_ = std::make_unique<UploadRing>(stream());
  downloads_ = std::make_unique<DownloadBuffer>(stream());
  timers_.emplace();
  cublaslt_ = CublasLt::open(options.cublaslt_candidates, cublaslt_attempts_);
  machine_ = std::string(properties_.name) + " driver " + std::to_string(driver_version_) + " cublaslt " +
             (cublaslt_ ? std::to_string(cublaslt_->version()) : "none");
}

CudaDevice::~CudaDevice() {
  cudaSetDevice(ordinal_);
  cudaStreamSynchronize(stream());
  timers_.reset();
  downloads_.reset();
  uploads_.reset();
  cublaslt_.reset();
}

std::string CudaDevice::pci_bus_id() const {
  std::array<char, 32> id{};
  check(cudaDeviceGetPCIBusId(id.data(), static_cast<int>(id.size()), ordinal_), "cannot read the device's PCI bus id");
  return id.data();
}

void CudaDevice::activate() const { check(cudaSetDevice(ordinal_), "cannot select the device"); }

}  // namespace vitgraph::cuda
