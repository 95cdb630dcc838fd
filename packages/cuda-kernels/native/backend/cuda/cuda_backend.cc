#include "backend/cuda/cuda_backend.h"

#include <algorithm>
#include <utility>

#include "backend/cuda/cuda_device.h"
#include "backend/cuda/cuda_program.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/exported_memory.h"
#include "backend/cuda/status.h"

namespace vitgraph::cuda {
namespace {

/// The io arena split for transfers. Results are contiguous; the rest is what a run can upload.
struct IoShares {
  std::size_t result_bytes;
  std::size_t input_bytes;
};

IoShares io_shares(const Program& program) {
  std::size_t begin = 0;
  std::size_t end = 0;
  for (const Instruction& instruction : program.instructions) {
    const KernelSignature& signature = signature_of(instruction.kernel);
    for (std::size_t output = signature.first_output(); output < signature.operands.size(); ++output) {
      const Buffer& written = program.buffers[static_cast<std::size_t>(instruction.operands[output])];
      if (written.arena != ArenaName::io) continue;
      begin = end == 0 ? written.offset : std::min<std::size_t>(begin, written.offset);
      end = std::max<std::size_t>(end, written.offset + written.size_bytes);
    }
  }
  return {end - begin, program.arena_bytes[static_cast<std::size_t>(ArenaName::io)] - (end - begin)};
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options) : device_(std::make_shared<CudaDevice>(options)) {
    for (std::size_t i = 0; i < kKernelCount; ++i) {
      const auto kernel = static_cast<Kernel>(i);
      const bool of_hopper =
          kernel == Kernel::linear_statistics || kernel == Kernel::linear_norm || kernel == Kernel::linear_norm_rope;
      if (!of_hopper || device_->is_hopper()) kernels_.push_back(kernel);
    }
    const cudaDeviceProp& properties = device_->properties();
    const std::string library = device_->cublaslt() ? device_->cublaslt()->path() : "not found";
    info_ = {"cuda",
             std::string(properties.name) + ", " + std::to_string(properties.multiProcessorCount) +
                 " multiprocessors, CUDA " + version_text(CUDART_VERSION),
             {{"computeCapability", std::to_string(properties.major) + "." + std::to_string(properties.minor)},
              {"memoryBytes", static_cast<double>(properties.totalGlobalMem)},
              {"pciBusId", device_->pci_bus_id()},
              {"driver", version_text(device_->driver_version())},
              {"cublasLt", library}}};
    std::string attempts;
    for (const std::string& attempt : device_->cublaslt_attempts())
      attempts += (attempts.empty() ? "" : "; ") + attempt;
    if (!device_->cublaslt() && !attempts.empty()) info_.facts.push_back({"cublasLtTried", attempts});
  }

  const BackendInfo& info() const override { return info_; }
  DType activation_dtype() const override { return DType::bf16; }
  std::span<const Kernel> kernels() const override { return kernels_; }

  std::shared_ptr<Memory> allocate(std::size_t size_bytes) override {
    device_->activate();
    return std::make_shared<DeviceMemory>(size_bytes);
  }

  std::shared_ptr<ExportedMemory> export_memory(std::size_t size_bytes) override {
    device_->activate();
    return std::make_shared<CudaExportedMemory>(device_, size_bytes);
  }

  MemoryUse memory() override {
    device_->activate();
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    check(cudaMemGetInfo(&free_bytes, &total_bytes), "cannot ask for the device's memory");
    return {free_bytes, total_bytes};
  }

  void upload(Memory& memory, std::size_t offset, std::span<const std::byte> bytes) override {
    device_->activate();
    device_->gate().wait();
    device_->uploads().send_in_order({static_cast<DeviceMemory&>(memory).data() + offset, bytes});
    check(cudaStreamSynchronize(device_->stream()), "cannot copy to the device");
  }

  void fill(Memory& memory, std::uint8_t byte) override {
    device_->activate();
    device_->gate().wait();
    check(cudaMemsetAsync(static_cast<DeviceMemory&>(memory).data(), byte, memory.size_bytes(), device_->stream()),
          "cannot fill memory");
    check(cudaStreamSynchronize(device_->stream()), "cannot fill memory");
  }

  std::shared_ptr<LoadedProgram> load(std::span<const std::uint32_t> words, const Arenas& arenas) override {
    device_->activate();
    Program program = decode_for(words, activation_dtype(), arenas);
    const IoShares shares = io_shares(program);
    device_->uploads().reserve(shares.input_bytes);
    device_->downloads().reserve(shares.result_bytes);
    return std::make_shared<CudaProgram>(device_, std::move(program), arenas);
  }

  void end_threads() override { device_->downloads().end_threads(); }

 private:
  std::shared_ptr<CudaDevice> device_;
  std::vector<Kernel> kernels_;
  BackendInfo info_;
};

}  // namespace

std::unique_ptr<Backend> create_cuda_backend(const CudaOptions& options) {
  return std::make_unique<CudaBackend>(options);
}

}  // namespace vitgraph::cuda
