// A step is an instruction bound to device addresses, ready to launch; a run adds only the counts on the device. Step
// makers create steps when a program is loaded. Each kernel has one, in a file of steps/, and a table lists them all.
//
// A maker rejects operands that its kernel does not support, so the error is raised at load.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/cuda_device.h"
#include "backend/cuda/linear_step.h"
#include "backend/cuda/program_memory.h"
#include "backend/cuda/run_control.h"
#include "kernels/common/activation.h"
#include "kernels/sm90/attention/attention.h"

namespace vitgraph::cuda {

using StepLaunch = std::function<cudaError_t(const kernels::Launch&)>;

/// Shared by the steps of a program.
struct StepParts {
  CudaDevice& device;
  const ProgramMemory& memory;
  /// The control block, and its device address.
  RunControl& control;
  const std::byte* control_at;
  kernels::sm90::AttentionWork* attention_work;
  /// The products to autotune before capture.
  std::vector<std::shared_ptr<LinearStep>>& autotuned;
};

/// An instruction as seen by its maker. Operands and scalars are indexed by their position in the kernel's signature.
class StepContext {
 public:
  StepContext(const StepParts& parts, std::size_t instruction)
      : parts_(parts),
        instruction_(parts.memory.program().instructions[instruction]),
        name_(name_of(parts.memory.program(), instruction)) {}

  const StepParts& parts() const { return parts_; }
  const Instruction& instruction() const { return instruction_; }

  const Buffer& buffer(std::size_t operand) const { return parts_.memory.buffer(instruction_.operands[operand]); }
  std::int32_t columns(std::size_t operand) const { return static_cast<std::int32_t>(buffer(operand).columns); }
  /// The operand's real rows in a run.
  kernels::Rows rows(std::size_t operand) const;

  template <typename T>
  T* data(std::size_t operand) const {
    const std::int32_t index = instruction_.operands[operand];
    return index < 0 ? nullptr : reinterpret_cast<T*>(parts_.memory.address(index));
  }
  /// Null if the operand is absent.
  template <typename T>
  kernels::View<T> view(std::size_t operand) const {
    if (instruction_.operands[operand] < 0) return {nullptr, 0};
    return {data<T>(operand), static_cast<std::int64_t>(buffer(operand).row_stride)};
  }
  /// Weights are bf16 here: the host converts other dtypes at load. Null if the operand is absent.
  /// @throws Error VG_PROGRAM_INVALID
  kernels::View<const kernels::Bf16> weight(std::size_t operand) const;

  std::int32_t count(std::size_t scalar) const { return static_cast<std::int32_t>(instruction_.scalars[scalar]); }
  float number(std::size_t scalar) const { return bits_to_float(instruction_.scalars[scalar]); }
  kernels::Activation activation(std::size_t scalar) const {
    return static_cast<kernels::Activation>(instruction_.scalars[scalar]);
  }

  /// @throws Error VG_PROGRAM_INVALID
  [[noreturn]] void unsupported(const std::string& fact) const;

 private:
  const StepParts& parts_;
  const Instruction& instruction_;
  std::string name_;
};

using StepMaker = StepLaunch (*)(const StepContext& at);

/// The step maker of a kernel.
StepMaker step_maker(Kernel kernel);

StepLaunch unpack_patches_step(const StepContext& at);
StepLaunch linear_step(const StepContext& at);
StepLaunch linear_rope_step(const StepContext& at);
StepLaunch layernorm_step(const StepContext& at);
StepLaunch activation_step(const StepContext& at);
StepLaunch add_step(const StepContext& at);
StepLaunch interpolate_rows_step(const StepContext& at);
StepLaunch rope_step(const StepContext& at);
StepLaunch rope_qk_step(const StepContext& at);
StepLaunch attention_step(const StepContext& at);
StepLaunch rmsnorm_step(const StepContext& at);
StepLaunch gate_step(const StepContext& at);
StepLaunch gather_rows_step(const StepContext& at);
StepLaunch scatter_rows_step(const StepContext& at);
StepLaunch linear_gather_rows_step(const StepContext& at);
StepLaunch mean_groups_step(const StepContext& at);
StepLaunch linear_statistics_step(const StepContext& at);
StepLaunch linear_norm_step(const StepContext& at);
StepLaunch linear_norm_rope_step(const StepContext& at);
StepLaunch assemble_rows_step(const StepContext& at);
StepLaunch rmsnorm_groups_step(const StepContext& at);
StepLaunch clamp_step(const StepContext& at);
StepLaunch standardize_step(const StepContext& at);

/// The tile table that an attention instruction reads. Tables get their offsets in the control block before the block
/// is allocated on the device.
RunControl::TableKey attention_table(const ProgramMemory& memory, const CudaDevice& device,
                                     const Instruction& instruction);

}  // namespace vitgraph::cuda
