// A program on the device: its instructions as launches, run eagerly or replayed as a graph. Both use the same
// launches.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/cuda/cuda_device.h"
#include "backend/cuda/recorded_graph.h"
#include "backend/cuda/run_metadata.h"
#include "backend/cuda/step.h"

namespace vitgraph::cuda {

class CudaProgram final : public LoadedProgram {
 public:
  CudaProgram(std::shared_ptr<CudaDevice> device, Program program, const Arenas& arenas);
  ~CudaProgram() override;

  const Program& program() const override { return program_; }
  std::unique_ptr<Run> begin(const Submission& submission, const std::atomic<bool>& cancelled) override;
  std::optional<CaptureTimes> capture() override;

 private:
  struct Step {
    std::string name;
    StepLaunch launch;
  };

  void launch_all(bool programmatic) const;
  /// Autotunes every matrix product. Leaves the counts of a full run on the device.
  void autotune();
  /// Products with a fused rotation read positions. Writes placeholder positions for autotuning before the first run.
  void fill_placeholder_positions();
  /// Uploads the counts of an empty run, or of a full one without attention.
  void upload_counts(std::span<const std::uint32_t> counts);

  std::shared_ptr<CudaDevice> device_;
  Program program_;
  Arenas arenas_;
  ProgramMemory memory_;
  RunMetadata metadata_;

  RunControl control_;
  std::unique_ptr<DeviceMemory> device_control_;
  /// An AttentionWork, shared by all launches of the program: they run one after another.
  std::unique_ptr<DeviceMemory> attention_work_;

  std::vector<Step> steps_;
  /// The steps that are autotuned.
  std::vector<std::shared_ptr<LinearStep>> linears_;
  std::optional<RecordedGraph> graph_;
};

}  // namespace vitgraph::cuda
