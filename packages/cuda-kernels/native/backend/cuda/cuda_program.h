// A program on the card: its instructions as launches, run one by one or replayed as a graph. Both are the same launches.
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
  /// Finds the fastest way of every product. Leaves the counts of a full run on the device.
  void measure();
  /// Products that turn their columns follow positions. Before any run has brought some, these stand in.
  void place_on_grid();
  /// The counts of a run that computes nothing, or of a full one without attention.
  void send_counts(std::span<const std::uint32_t> counts);

  std::shared_ptr<CudaDevice> device_;
  Program program_;
  Arenas arenas_;
  ProgramMemory memory_;
  RunMetadata metadata_;

  RunControl control_;
  std::unique_ptr<DeviceMemory> device_control_;
  /// An AttentionWork: the launches of a program follow each other and share it.
  std::unique_ptr<DeviceMemory> attention_work_;

  std::vector<Step> steps_;
  /// Those of the steps that are measured.
  std::vector<std::shared_ptr<LinearStep>> linears_;
  std::optional<RecordedGraph> graph_;
};

}  // namespace vitgraph::cuda
