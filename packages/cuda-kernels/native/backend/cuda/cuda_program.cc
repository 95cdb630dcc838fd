#include "backend/cuda/cuda_program.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "backend/cuda/cuda_run.h"
#include "backend/cuda/status.h"
#include "backend/cuda/step.h"

namespace vitgraph::cuda {
namespace {

/// Width of the patch grid used while products are autotuned: an image of some 1000 pixels a side.
constexpr std::int32_t kGridWidth = 64;

}  // namespace

CudaProgram::CudaProgram(std::shared_ptr<CudaDevice> device, Program program, const Arenas& arenas)
    : device_(std::move(device)),
      program_(std::move(program)),
      arenas_(arenas),
      memory_(program_, arenas_),
      metadata_(program_),
      control_(program_.capacities.size()) {
  // All tables get their offsets before the control block is allocated.
  for (const Instruction& instruction : program_.instructions) {
    if (instruction.kernel == Kernel::attention) control_.table(attention_table(memory_, *device_, instruction));
  }
  device_control_ = std::make_unique<DeviceMemory>(control_.size_bytes());
  attention_work_ = std::make_unique<DeviceMemory>(sizeof(kernels::sm90::AttentionWork));
  check(cudaMemset(attention_work_->data(), 0, attention_work_->size_bytes()),
        "cannot clear the attention's work counter");
  // The compute stream does not wait for the default stream.
  check(cudaStreamSynchronize(cudaStreamLegacy), "cannot clear the attention's work counter");
  const StepParts parts{*device_,
                        memory_,
                        control_,
                        device_control_->data(),
                        reinterpret_cast<kernels::sm90::AttentionWork*>(attention_work_->data()),
                        linears_};
  steps_.reserve(program_.instructions.size());
  for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
    steps_.push_back({name_of(program_, i), step_maker(program_.instructions[i].kernel)(StepContext(parts, i))});
  }
}

CudaProgram::~CudaProgram() {
  try {
    device_->activate();
  } catch (const Error&) {
    return;
  }
  graph_.reset();
}

std::unique_ptr<Run> CudaProgram::begin(const Submission& submission, const std::atomic<bool>& cancelled) {
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  device_->activate();
  metadata_.check(submission);
  const auto place_of = [&](const Transfer& transfer) {
    return memory_.address(static_cast<std::int32_t>(transfer.buffer - program_.buffers.data())) +
           transfer.offset_bytes;
  };
  std::vector<UploadRing::Piece> inputs;
  const auto bounds = [&](std::int32_t list) { return metadata_.words(submission, list); };
  for (const RunControl::Piece& piece : control_.write(submission.counts, bounds)) {
    inputs.push_back({device_control_->data() + piece.at, piece.bytes});
  }
  for (const Transfer& input : submission.inputs) inputs.push_back({place_of(input), input.bytes});
  std::vector<DownloadBuffer::Piece> outputs;
  for (const Transfer& output : submission.outputs)
    outputs.push_back({place_of(output), output.bytes, output.buffer->dtype});
  device_->uploads().send(inputs, [&] { device_->gate().wait(); });
  auto run = std::make_unique<CudaRun>(device_, std::move(outputs), cancelled);
  run->note_start();
  if (graph_)
    graph_->launch();
  else
    launch_all(true);
  run->note_end();
  return run;
}

std::optional<CaptureTimes> CudaProgram::capture() {
  using Clock = std::chrono::steady_clock;
  using Milliseconds = std::chrono::duration<double, std::milli>;
  if (graph_) return CaptureTimes{0, 0};
  device_->activate();
  device_->gate().wait();
  const auto begun = Clock::now();
  autotune();
  const auto autotuned = Clock::now();
  const cudaStream_t stream = device_->stream();
  // The warm-up loads every kernel, which a capture can't. All counts are zero, so nothing is computed.
  upload_counts(std::vector<std::uint32_t>(program_.capacities.size(), 0));
  launch_all(true);
  check(cudaStreamSynchronize(stream), "the warm-up run failed");
  graph_.emplace(stream, [&] { launch_all(true); });
  return CaptureTimes{Milliseconds(autotuned - begun).count(), Milliseconds(Clock::now() - autotuned).count()};
}

void CudaProgram::autotune() {
  // Autotune at capacity, with the counts of a full run. Only products run: there are no attention tables for it.
  upload_counts(program_.capacities);
  std::map<std::string, std::vector<std::shared_ptr<LinearStep>>> by_key;
  for (const auto& linear : linears_) by_key[linear->key()].push_back(linear);
  for (const auto& [key, steps] : by_key) {
    // Repeated for each key: earlier products may have overwritten gathered positions.
    fill_placeholder_positions();
    LinearStep::autotune(steps, device_->launch(true), device_->algorithms());
  }
  device_->algorithms().save();
  check(cudaStreamSynchronize(device_->stream()), "autotuning the matrix products failed");
}

void CudaProgram::fill_placeholder_positions() {
  // Most programs rotate all their products by the same positions.
  std::map<std::int32_t, std::int32_t> limits;
  for (const Instruction& instruction : program_.instructions) {
    const bool reads_norm = instruction.kernel == Kernel::linear_norm_rope;
    if (instruction.kernel != Kernel::linear_rope && !reads_norm) continue;
    const auto [positions, table] =
        reads_norm ? std::pair(operands::linear_norm_rope::POSITIONS, operands::linear_norm_rope::ANGLES)
                   : std::pair(operands::linear_rope::POSITIONS, operands::linear_rope::ANGLES);
    const auto angles = static_cast<std::int32_t>(memory_.buffer(instruction.operands[table]).rows.plus);
    const auto [known, added] = limits.emplace(instruction.operands[positions], angles);
    known->second = std::min(known->second, angles);
  }
  for (const auto& [target, limit] : limits) {
    const auto stride = static_cast<std::size_t>(memory_.buffer(target).row_stride);
    std::vector<std::int32_t> positions(static_cast<std::size_t>(memory_.row_capacity(memory_.buffer(target).rows)) *
                                        stride);
    for (std::size_t row = 0; row * stride < positions.size(); ++row) {
      const auto i = static_cast<std::int32_t>(row);
      const std::int32_t position[] = {i / kGridWidth % limit, i % kGridWidth % limit};
      std::copy(std::begin(position), std::end(position), positions.begin() + row * stride);
    }
    device_->uploads().send_in_order({memory_.address(target), std::as_bytes(std::span(positions))});
  }
}

void CudaProgram::upload_counts(std::span<const std::uint32_t> counts) {
  for (const RunControl::Piece& piece : control_.write_without_tiles(counts)) {
    device_->uploads().send_in_order({device_control_->data() + piece.at, piece.bytes});
  }
}

void CudaProgram::launch_all(bool programmatic) const {
  const kernels::Launch launch = device_->launch(programmatic);
  for (const Step& step : steps_) check(step.launch(launch), step.name + " cannot be launched");
}

}  // namespace vitgraph::cuda
