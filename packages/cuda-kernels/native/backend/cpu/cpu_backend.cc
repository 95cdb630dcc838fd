#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "backend/cpu/kernel.h"
#include "backend/cpu/machine.h"
#include "backend/cpu/memory.h"
#include "backend/cpu/thread_pool.h"
#include "common/error.h"
#include "common/finite.h"

namespace vitgraph::cpu {
namespace {

/// Workspaces of instructions and scratch of threads start at multiples of 256 bytes.
std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// memcpy, for pointers that may be null where there is nothing to copy.
void copy_bytes(std::byte* to, const std::byte* from, std::size_t count) {
  if (count > 0) std::memcpy(to, from, count);
}

/// A run that `begin` has completed: on this backend the device is the thread that calls it.
class FinishedRun final : public Run {
 public:
  explicit FinishedRun(RunResult result) : result_(std::move(result)) {}
  RunResult finish() override { return std::move(result_); }

 private:
  RunResult result_;
};

/// Shared by the loaded programs of one device, and kept alive by the last of them.
class Shared {
 public:
  Shared(int threads, const Simd& simd, const Gemm& gemm) : pool_(threads), engine_{pool_, simd, gemm} {}

  const Engine& engine() const { return engine_; }
  void end_threads() { pool_.stop(); }

  /// Scratch of at least `thread_bytes` for each thread. Programs run one at a time, so they share it. Programs with a
  /// smaller one keep it.
  std::shared_ptr<HostMemory> scratch(std::size_t thread_bytes) {
    const std::size_t bytes = thread_bytes * static_cast<std::size_t>(pool_.size());
    if (!scratch_ || scratch_->size_bytes() < bytes) scratch_ = std::make_shared<HostMemory>(bytes);
    return scratch_;
  }

 private:
  ThreadPool pool_;
  Engine engine_;
  std::shared_ptr<HostMemory> scratch_;
};

class CpuProgram final : public LoadedProgram {
 public:
  CpuProgram(std::shared_ptr<Shared> shared, Program program, const Arenas& arenas)
      : shared_(std::move(shared)),
        program_(std::move(program)),
        arenas_(arenas),
        workspace_(workspace_bytes()),
        thread_scratch_bytes_(thread_scratch_bytes()),
        scratch_(shared_->scratch(thread_scratch_bytes_)) {
    std::byte* workspace = workspace_.data();
    steps_.reserve(program_.instructions.size());
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      steps_.push_back(resolve(i, workspace));
      workspace += workspace_bytes(program_.instructions[i]);
    }
  }

  const Program& program() const override { return program_; }

  std::unique_ptr<Run> begin(const Submission& submission, const std::atomic<bool>& cancelled) override {
    for (const Transfer& input : submission.inputs)
      copy_bytes(address(*input.buffer) + input.offset_bytes, input.bytes.data(), input.bytes.size());
    const Engine& engine = shared_->engine();
    engine.pool.set_cancelled(&cancelled);
    const auto start = std::chrono::steady_clock::now();
    for (const Step& step : steps_) {
      if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
      step.run({step, submission.counts, engine, scratch_->data(), thread_scratch_bytes_});
    }
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    const std::chrono::duration<double, std::milli> duration = std::chrono::steady_clock::now() - start;
    RunResult result{duration.count(), {}};
    for (const Transfer& output : submission.outputs) {
      copy_bytes(output.bytes.data(), address(*output.buffer) + output.offset_bytes, output.bytes.size());
      result.first_non_finite.push_back(first_non_finite(output.bytes, output.buffer->dtype));
    }
    return std::make_unique<FinishedRun>(std::move(result));
  }

 private:
  std::byte* address(const Buffer& buffer) const {
    const Memory& arena = *arenas_[static_cast<std::size_t>(buffer.arena)];
    return static_cast<const HostMemory&>(arena).data() + buffer.offset;
  }

  std::size_t workspace_bytes(const Instruction& instruction) const {
    const KernelEntry& entry = kernel_entry(instruction.kernel);
    const std::size_t bytes = entry.workspace_bytes == nullptr ? 0 : entry.workspace_bytes(program_, instruction);
    return aligned(bytes);
  }

  std::size_t thread_scratch_bytes() const {
    std::size_t most = 0;
    for (const Instruction& instruction : program_.instructions) {
      const KernelEntry& entry = kernel_entry(instruction.kernel);
      if (entry.scratch_bytes == nullptr) continue;
      most = std::max(most, entry.scratch_bytes(program_, instruction, shared_->engine()));
    }
    return aligned(most);
  }

  std::size_t workspace_bytes() const {
    std::size_t total = 0;
    for (const Instruction& instruction : program_.instructions) total += workspace_bytes(instruction);
    return total;
  }

  Step resolve(std::size_t index, std::byte* workspace) const {
    const Instruction& instruction = program_.instructions[index];
    Step step{kernel_entry(instruction.kernel).run, {}, instruction.scalars, workspace, name_of(program_, index)};
    for (std::size_t i = 0; i < kMaxOperands; ++i) {
      if (instruction.operands[i] < 0) continue;
      const Buffer& buffer = program_.buffers[static_cast<std::size_t>(instruction.operands[i])];
      step.operands[i] = {address(buffer), buffer.dtype, buffer.rows, buffer.columns, buffer.row_stride};
    }
    return step;
  }

  std::shared_ptr<Shared> shared_;
  Program program_;
  Arenas arenas_;
  HostMemory workspace_;
  std::size_t thread_scratch_bytes_;
  std::shared_ptr<HostMemory> scratch_;
  std::vector<Step> steps_;
};

/// "auto" follows measurements (bench/cpu.ts): our own tiles are faster from AVX2 on, OpenBLAS below.
const Gemm& select_gemm(const std::string& name, [[maybe_unused]] const Simd& simd) {
#ifdef VITGRAPH_OPENBLAS
  const bool preferred = name == "auto" && simd.lanes < 8;
  if ((preferred || name == kOpenBlasGemm.name) && is_openblas_usable()) return kOpenBlasGemm;
#endif
  if (name == "auto" || name == kBlockedGemm.name) return kBlockedGemm;
#ifdef VITGRAPH_X86
  if (name == kBf16Gemm.name) {
    // Its blocks are laid out for the vectors of AVX-512.
    if (supported_pairs() != nullptr && simd.lanes == 16) return kBf16Gemm;
    throw Error("VG_ARGUMENT_INVALID", "this processor has no instructions for bfloat16 products (AVX512-BF16)",
                "use dtype f32");
  }
#endif
  throw Error("VG_ARGUMENT_INVALID", "this addon has no matrix products called " + name,
              "use auto or blocked, or build where the development files of a threaded OpenBLAS are installed");
}

std::string gemm_version([[maybe_unused]] const Gemm& gemm) {
#ifdef VITGRAPH_OPENBLAS
  if (&gemm == &kOpenBlasGemm) return openblas_version();
#endif
#ifdef VITGRAPH_X86
  if (&gemm == &kBf16Gemm) return "own GEMM in bf16";
#endif
  return "own GEMM";
}

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options) {
    const int threads = options.threads > 0 ? options.threads : usable_cores();
    const Simd& simd = select_simd(options.simd);
    const Gemm& gemm = select_gemm(options.gemm, simd);
    shared_ = std::make_shared<Shared>(threads, simd, gemm);
    for (std::size_t i = 0; i < kKernelCount; ++i) kernels_.push_back(static_cast<Kernel>(i));
    const std::string processor = processor_name();
    info_ = {"cpu",
             processor + ", " + std::to_string(threads) + (threads == 1 ? " thread, " : " threads, ") + simd.name +
                 ", " + gemm_version(gemm),
             {{"processor", processor},
              {"threads", static_cast<double>(threads)},
              {"simd", simd.name},
              {"gemm", gemm.name},
              {"gemmVersion", gemm_version(gemm)}}};
  }

  const BackendInfo& info() const override { return info_; }
  DType activation_dtype() const override { return DType::f32; }
  std::span<const Kernel> kernels() const override { return kernels_; }

  std::shared_ptr<Memory> allocate(std::size_t size_bytes) override { return std::make_shared<HostMemory>(size_bytes); }

  MemoryUse memory() override {
    const MemoryState state = memory_state();
    return {state.available_bytes, state.total_bytes};
  }

  void upload(Memory& memory, std::size_t offset, std::span<const std::byte> bytes) override {
    copy_bytes(static_cast<HostMemory&>(memory).data() + offset, bytes.data(), bytes.size());
  }

  void fill(Memory& memory, std::uint8_t byte) override {
    if (memory.size_bytes() > 0) std::memset(static_cast<HostMemory&>(memory).data(), byte, memory.size_bytes());
  }

  std::shared_ptr<LoadedProgram> load(std::span<const std::uint32_t> words, const Arenas& arenas) override {
    return std::make_shared<CpuProgram>(shared_, decode_for(words, activation_dtype(), arenas), arenas);
  }

  void end_threads() override { shared_->end_threads(); }

 private:
  std::shared_ptr<Shared> shared_;
  std::vector<Kernel> kernels_;
  BackendInfo info_;
};

}  // namespace

std::unique_ptr<Backend> create_cpu_backend(const CpuOptions& options) { return std::make_unique<CpuBackend>(options); }

}  // namespace vitgraph::cpu
