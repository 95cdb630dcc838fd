#include "backend/cuda/cuda_program.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <map>
#include <random>
#include <utility>

#include "backend/cuda/cuda_run.h"
#include "backend/cuda/measure_products.h"
#include "backend/cuda/status.h"
#include "backend/cuda/step.h"

namespace vitgraph::cuda {
namespace {

/// Of the grid on which patches stand while products are measured: an image of some 1000 pixels a side.
constexpr std::int32_t kGridWidth = 64;

/// As much noise is made on the host, and repeated on the card.
constexpr std::size_t kNoiseBytes = 1 << 20;

/// Reads rows that a run's tables name. Products that turn by positions are not among them: `place_on_grid` has those.
bool follows_index(const Instruction& instruction) {
  switch (instruction.kernel) {
    case Kernel::unpack_patches:
    case Kernel::interpolate_rows:
    case Kernel::rope:
    case Kernel::rope_qk:
    case Kernel::gather_rows:
    case Kernel::scatter_rows:
    case Kernel::assemble_rows:
    case Kernel::linear_gather_rows:
      return true;
    case Kernel::linear_statistics:
      return instruction.operands[5] >= 0;
    default:
      return false;
  }
}

}  // namespace

CudaProgram::CudaProgram(std::shared_ptr<CudaDevice> device, Program program, const Arenas& arenas)
    : device_(std::move(device)),
      program_(std::move(program)),
      arenas_(arenas),
      memory_(program_, arenas_),
      metadata_(program_),
      control_(program_.capacities.size()) {
  // Every table has its place before the control block has its address.
  for (const Instruction& instruction : program_.instructions) {
    if (instruction.kernel == Kernel::attention) control_.table(attention_table(memory_, *device_, instruction));
  }
  device_control_ = std::make_unique<DeviceMemory>(control_.size_bytes());
  attention_work_ = std::make_unique<DeviceMemory>(sizeof(kernels::sm90::AttentionWork));
  check(cudaMemset(attention_work_->data(), 0, attention_work_->size_bytes()), "cannot clear the attention's work counter");
  std::shared_ptr<LinearStep> measured;
  const StepParts parts{*device_,  memory_, control_, device_control_->data(),
                        reinterpret_cast<kernels::sm90::AttentionWork*>(attention_work_->data()), measured};
  steps_.reserve(program_.instructions.size());
  for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
    StepLaunch launch = step_maker(program_.instructions[i].kernel)(StepContext(parts, i));
    steps_.push_back({name_of(program_, i), std::move(launch), std::exchange(measured, nullptr)});
  }
}

CudaProgram::~CudaProgram() {
  try {
    device_->activate();
  } catch (const Error&) {
    return;
  }
  if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
}

std::unique_ptr<Run> CudaProgram::begin(const Submission& submission, const std::atomic<bool>& cancelled) {
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  device_->activate();
  metadata_.check(submission);
  const auto place_of = [&](const Transfer& transfer) {
    return memory_.address(static_cast<std::int32_t>(transfer.buffer - program_.buffers.data())) + transfer.offset_bytes;
  };
  std::vector<Inlet::Piece> inputs;
  const auto bounds = [&](std::int32_t list) { return metadata_.words(submission, list); };
  for (const RunControl::Piece& piece : control_.write(submission.counts, bounds)) {
    inputs.push_back({device_control_->data() + piece.at, piece.bytes});
  }
  for (const Transfer& input : submission.inputs) inputs.push_back({place_of(input), input.bytes});
  std::vector<Outlet::Piece> outputs;
  for (const Transfer& output : submission.outputs) outputs.push_back({place_of(output), output.bytes, output.buffer->dtype});
  device_->inlet().send(inputs, [&] { device_->gate().wait(); });
  auto run = std::make_unique<CudaRun>(device_, std::move(outputs), cancelled);
  run->note_start();
  if (graph_ != nullptr) check(cudaGraphLaunch(graph_, device_->stream()), "cannot launch the graph");
  else launch_all(true);
  run->note_end();
  return run;
}

std::optional<CaptureTimes> CudaProgram::capture() {
  using Clock = std::chrono::steady_clock;
  using Milliseconds = std::chrono::duration<double, std::milli>;
  if (graph_ != nullptr) return CaptureTimes{0, 0};
  device_->activate();
  device_->gate().wait();
  const auto begun = Clock::now();
  measure();
  const auto measured = Clock::now();
  const cudaStream_t stream = device_->stream();
  // The warm-up loads every kernel, which a capture can't: all counts are zero, so nothing is computed.
  send_counts(std::vector<std::uint32_t>(program_.capacities.size(), 0));
  launch_all(true);
  check(cudaStreamSynchronize(stream), "the warm-up run failed");

  cudaGraph_t graph = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cannot begin the capture");
  try {
    launch_all(true);
  } catch (...) {
    cudaStreamEndCapture(stream, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(stream, &graph), "cannot end the capture");
  const cudaError_t status = cudaGraphInstantiate(&graph_, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "cannot instantiate the graph");
  check(cudaGraphUpload(graph_, stream), "cannot upload the graph");
  return CaptureTimes{Milliseconds(measured - begun).count(), Milliseconds(Clock::now() - measured).count()};
}

void CudaProgram::measure() {
  // At capacity, on the counts of a full run; no step that follows an index is run before the capture, so that no table of
  // a run that never was is followed.
  send_counts(program_.capacities);
  std::vector<MeasuredStep> steps;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    steps.push_back({steps_[i].launch, steps_[i].product, !follows_index(program_.instructions[i])});
  }
  fill_scratch();
  // Products may have written where positions that were gathered stand.
  measure_products(*device_, steps, [&] { place_on_grid(); });
}

void CudaProgram::fill_scratch() {
  const auto& scratch = static_cast<const DeviceMemory&>(*arenas_[static_cast<std::size_t>(ArenaName::scratch)]);
  std::vector<std::uint16_t> values(std::min<std::size_t>(scratch.size_bytes(), kNoiseBytes) / sizeof(std::uint16_t));
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (std::uint16_t& value : values) value = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(normal(random)) >> 16);
  std::size_t filled = values.size() * sizeof(std::uint16_t);
  device_->inlet().send_in_order({scratch.data(), std::as_bytes(std::span(values))});
  while (filled < scratch.size_bytes()) {
    const std::size_t bytes = std::min(filled, scratch.size_bytes() - filled);
    check(cudaMemcpyAsync(scratch.data() + filled, scratch.data(), bytes, cudaMemcpyDeviceToDevice, device_->stream()),
          "cannot fill memory");
    filled += bytes;
  }
}

void CudaProgram::place_on_grid() {
  // Most programs turn all their products by the same positions.
  std::map<std::int32_t, std::int32_t> limits;
  for (const Instruction& instruction : program_.instructions) {
    const bool reads_norm = instruction.kernel == Kernel::linear_norm_rope;
    if (instruction.kernel != Kernel::linear_rope && !reads_norm) continue;
    const std::size_t at = reads_norm ? 5 : 3;
    const auto angles = static_cast<std::int32_t>(memory_.buffer(instruction.operands[at + 1]).rows.plus);
    const auto [known, added] = limits.emplace(instruction.operands[at], angles);
    known->second = std::min(known->second, angles);
  }
  for (const auto& [target, limit] : limits) {
    const auto stride = static_cast<std::size_t>(memory_.buffer(target).row_stride);
    std::vector<std::int32_t> positions(static_cast<std::size_t>(memory_.row_capacity(memory_.buffer(target).rows)) * stride);
    for (std::size_t row = 0; row * stride < positions.size(); ++row) {
      const auto i = static_cast<std::int32_t>(row);
      const std::int32_t position[] = {i / kGridWidth % limit, i % kGridWidth % limit};
      std::copy(std::begin(position), std::end(position), positions.begin() + row * stride);
    }
    device_->inlet().send_in_order({memory_.address(target), std::as_bytes(std::span(positions))});
  }
}

void CudaProgram::send_counts(std::span<const std::uint32_t> counts) {
  for (const RunControl::Piece& piece : control_.write_without_tiles(counts)) {
    device_->inlet().send_in_order({device_control_->data() + piece.at, piece.bytes});
  }
}

void CudaProgram::launch_all(bool programmatic) const {
  const kernels::Launch launch = device_->launch(programmatic);
  for (const Step& step : steps_) check(step.launch(launch), step.name + " cannot be launched");
}

}  // namespace vitgraph::cuda
