#include "backend/cuda/cuda_program.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>

#include "backend/cuda/status.h"
#include "common/finite.h"
#include "kernels/sm90/attention/attention.h"
#include "kernels/smxx/activation/activation.h"
#include "kernels/smxx/add/add.h"
#include "kernels/smxx/attention/attention.h"
#include "kernels/smxx/layernorm/layernorm.h"
#include "kernels/smxx/position_embedding/position_embedding.h"
#include "kernels/smxx/rope/rope.h"
#include "kernels/smxx/unpack_patches/unpack_patches.h"

namespace vitgraph::cuda {
namespace {

using kernels::Bf16;
using kernels::Launch;

constexpr int kHopper = 90;
/// Of the grid on which patches stand while products are measured: an image of some 1000 pixels a side.
constexpr std::int32_t kGridWidth = 64;
/// The tiles start on a boundary of their own alignment.
constexpr std::size_t kTilesAt = 256;

[[noreturn]] void unsupported(const std::string& name, const std::string& fact) {
  throw Error("VG_PROGRAM_INVALID", name + ": " + fact, "use the CPU backend for this model");
}

}  // namespace

CudaProgram::CudaProgram(std::shared_ptr<CudaDevice> device, Program program, const Arenas& arenas)
    : device_(std::move(device)), program_(std::move(program)), arenas_(arenas), metadata_(program_) {
  check(cudaEventCreate(&started_), "cannot create an event");
  check(cudaEventCreate(&ended_), "cannot create an event");
  // The control block has to have its address before the steps take it.
  for (const Instruction& instruction : program_.instructions) {
    if (instruction.kernel != Kernel::attention) continue;
    const std::int32_t patches = row_capacity(buffer(instruction.operands[0]).rows);
    const std::int32_t segments = row_capacity(buffer(instruction.operands[3]).rows) - 1;
    const auto heads = static_cast<std::int32_t>(instruction.scalars[0]);
    const auto head_size = static_cast<std::int32_t>(buffer(instruction.operands[0]).columns) / heads;
    // A graph is captured before any segment is known: one may be as long as all of the rows.
    tile_rows_ = device_->architecture() == kHopper
                     ? kernels::sm90::attention_tile_height(patches, patches, heads, head_size, device_->properties().multiProcessorCount)
                     : kernels::smxx::kAttentionTileRows;
    tile_capacity_ = kernels::attention_tile_capacity(static_cast<std::size_t>(patches), static_cast<std::size_t>(segments),
                                                      static_cast<std::size_t>(tile_rows_));
    tile_order_.reserve(static_cast<std::size_t>(segments));
    break;
  }
  const std::size_t control_bytes = kTilesAt + tile_capacity_ * sizeof(kernels::AttentionTile);
  if ((program_.capacities.size() + 1) * sizeof(std::int32_t) > kTilesAt) {
    unsupported("the program", "it has " + std::to_string(program_.capacities.size()) + " dims");
  }
  control_ = std::make_unique<PinnedMemory>(control_bytes);
  device_control_ = std::make_unique<DeviceMemory>(control_bytes);
  attention_work_ = std::make_unique<DeviceMemory>(sizeof(kernels::sm90::AttentionWork));
  check(cudaMemset(attention_work_->data(), 0, attention_work_->size_bytes()), "cannot clear the attention's work counter");
  steps_.reserve(program_.instructions.size());
  for (std::size_t i = 0; i < program_.instructions.size(); ++i) resolve(i);
}

CudaProgram::~CudaProgram() {
  try {
    device_->activate();
  } catch (const Error&) {
    return;
  }
  if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
  cudaEventDestroy(started_);
  cudaEventDestroy(ended_);
}

RunResult CudaProgram::run(const Submission& submission, const std::atomic<bool>&) {
  device_->activate();
  metadata_.check(submission);
  send_control(submission);
  for (const Transfer& input : submission.inputs) {
    device_->staging().to_device(address(static_cast<std::int32_t>(input.buffer - program_.buffers.data())), input.bytes);
  }
  check(cudaEventRecord(started_, device_->stream()), "cannot record an event");
  if (graph_ != nullptr) check(cudaGraphLaunch(graph_, device_->stream()), "cannot launch the graph");
  else launch_all(true);
  check(cudaEventRecord(ended_, device_->stream()), "cannot record an event");
  bool finite = true;
  for (const Transfer& output : submission.outputs) {
    const std::byte* from = address(static_cast<std::int32_t>(output.buffer - program_.buffers.data()));
    device_->staging().to_host(output.bytes, from, [&](std::span<const std::byte> part) {
      finite = finite && all_finite(part, output.buffer->dtype);
    });
  }
  check(cudaStreamSynchronize(device_->stream()), "the run failed");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, started_, ended_), "cannot time the run");
  return {milliseconds, finite};
}

bool CudaProgram::capture() {
  device_->activate();
  if (graph_ != nullptr) return true;
  const cudaStream_t stream = device_->stream();
  // Products are measured at capacity, on the counts of a full run; nothing else is run before the capture, so that no
  // table of a run that never was is followed.
  auto* counts = reinterpret_cast<std::int32_t*>(control_->data());
  std::copy(program_.capacities.begin(), program_.capacities.end(), counts);
  counts[program_.capacities.size()] = 0;
  check(cudaMemcpyAsync(device_control_->data(), control_->data(), kTilesAt, cudaMemcpyHostToDevice, stream), "cannot copy the counts");
  const std::vector<std::int32_t> positions = place_on_grid(stream);
  std::map<std::string, std::vector<std::shared_ptr<LinearStep>>> by_key;
  for (const auto& linear : linears_) by_key[linear->key()].push_back(linear);
  for (const auto& [key, steps] : by_key) LinearStep::measure(steps, device_->launch(true), device_->algorithms());
  device_->algorithms().save();
  // The warm-up loads every kernel, which a capture can't: all counts are zero, so nothing is computed.
  std::fill_n(counts, program_.capacities.size() + 1, 0);
  check(cudaStreamSynchronize(stream), "the measurement of the matrix products failed");
  check(cudaMemcpyAsync(device_control_->data(), control_->data(), kTilesAt, cudaMemcpyHostToDevice, stream), "cannot copy the counts");
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
  return true;
}

std::vector<std::int32_t> CudaProgram::place_on_grid(cudaStream_t stream) const {
  std::vector<std::int32_t> targets;
  std::int32_t rows = 0;
  auto limit = std::numeric_limits<std::int32_t>::max();
  for (const Instruction& instruction : program_.instructions) {
    if (instruction.kernel != Kernel::linear_rope) continue;
    targets.push_back(instruction.operands[3]);
    rows = std::max(rows, row_capacity(buffer(targets.back()).rows));
    limit = std::min(limit, static_cast<std::int32_t>(buffer(instruction.operands[4]).rows.plus));
  }
  std::vector<std::int32_t> positions;
  for (std::int32_t i = 0; i < rows; ++i) {
    positions.insert(positions.end(), {i / kGridWidth % limit, i % kGridWidth % limit, limit, limit});
  }
  for (const std::int32_t target : targets) {
    constexpr std::size_t kRowBytes = 4 * sizeof(std::int32_t);
    const std::size_t pitch = buffer(target).row_stride * sizeof(std::int32_t);
    const auto capacity = static_cast<std::size_t>(row_capacity(buffer(target).rows));
    check(cudaMemcpy2DAsync(address(target), pitch, positions.data(), kRowBytes, kRowBytes, capacity,
                            cudaMemcpyHostToDevice, stream),
          "cannot copy the positions");
  }
  return positions;
}

void CudaProgram::send_control(const Submission& submission) {
  auto* counts = reinterpret_cast<std::int32_t*>(control_->data());
  std::copy(submission.counts.begin(), submission.counts.end(), counts);
  auto* tiles = reinterpret_cast<kernels::AttentionTile*>(control_->data() + kTilesAt);
  const std::size_t tile_count =
      tile_rows_ == 0 ? 0 : kernels::build_attention_tiles(metadata_.cu_seqlens(submission), tile_rows_, tile_order_, {tiles, tile_capacity_});
  counts[submission.counts.size()] = static_cast<std::int32_t>(tile_count);
  check(cudaMemcpyAsync(device_control_->data(), control_->data(), kTilesAt + tile_count * sizeof(kernels::AttentionTile),
                        cudaMemcpyHostToDevice, device_->stream()),
        "cannot copy the run's counts");
}

void CudaProgram::launch_all(bool programmatic) const {
  const Launch launch = device_->launch(programmatic);
  for (const Step& step : steps_) check(step.launch(launch), step.name + " cannot be launched");
}

std::byte* CudaProgram::address(std::int32_t index) const {
  const Buffer& at = buffer(index);
  return static_cast<const DeviceMemory&>(*arenas_[static_cast<std::size_t>(at.arena)]).data() + at.offset;
}

std::int32_t CudaProgram::row_capacity(RowCount rows) const { return static_cast<std::int32_t>(rows.at(program_.capacities)); }

kernels::Rows CudaProgram::rows(RowCount rows) const {
  const auto* counts = reinterpret_cast<const std::int32_t*>(device_control_->data());
  return {rows.dim == kNoDim ? nullptr : counts + rows.dim, static_cast<std::int32_t>(rows.plus), row_capacity(rows)};
}

template <typename T>
kernels::View<T> CudaProgram::view(std::int32_t index) const {
  if (index < 0) return {nullptr, 0};
  return {reinterpret_cast<T*>(address(index)), static_cast<std::int64_t>(buffer(index).row_stride)};
}

void CudaProgram::resolve(std::size_t index) {
  namespace k = kernels::smxx;
  const Instruction& instruction = program_.instructions[index];
  const std::string name = name_of(program_, index);
  const auto& at = instruction.operands;
  const auto& scalars = instruction.scalars;
  const auto count = [&](std::size_t scalar) { return static_cast<std::int32_t>(scalars[scalar]); };
  const auto columns = [&](std::int32_t operand) { return static_cast<std::int32_t>(buffer(operand).columns); };
  // Weights are bf16 here: the host converts those of other dtypes while it loads them.
  const auto weight = [&](std::int32_t operand) -> const Bf16* {
    if (operand < 0) return nullptr;
    if (buffer(operand).dtype != DType::bf16) unsupported(name, std::string("its weight is ") + vitgraph::name_of(buffer(operand).dtype));
    return reinterpret_cast<const Bf16*>(address(operand));
  };
  const auto add = [&](auto launch) { steps_.push_back({name, std::move(launch)}); };
  switch (instruction.kernel) {
    case Kernel::unpack_patches: {
      const k::UnpackPatchesOperands operands{reinterpret_cast<const std::uint8_t*>(address(at[0])),
                                              reinterpret_cast<const std::uint32_t*>(address(at[1])),
                                              reinterpret_cast<const float*>(address(at[2])), view<Bf16>(at[3]),
                                              rows(buffer(at[3]).rows), count(0), count(1), count(2)};
      return add([operands](const Launch& launch) { return k::launch_unpack_patches(launch, operands); });
    }
    case Kernel::linear: {
      const kernels::LinearOperands operands{view<const Bf16>(at[0]),
                                             {weight(at[1]), static_cast<std::int64_t>(buffer(at[1]).row_stride)},
                                             weight(at[2]),
                                             view<const Bf16>(at[3]),
                                             view<Bf16>(at[4]),
                                             rows(buffer(at[4]).rows),
                                             columns(at[4]),
                                             columns(at[0])};
      return add_linear(name, operands, static_cast<kernels::Activation>(scalars[0]));
    }
    case Kernel::linear_rope: {
      const std::int32_t head_size = columns(at[5]) / 3 / count(0);
      const kernels::LinearOperands operands{view<const Bf16>(at[0]),
                                             {weight(at[1]), static_cast<std::int64_t>(buffer(at[1]).row_stride)},
                                             weight(at[2]),
                                             {nullptr, 0},
                                             view<Bf16>(at[5]),
                                             rows(buffer(at[5]).rows),
                                             columns(at[5]),
                                             columns(at[0]),
                                             {view<const std::int32_t>(at[3]), view<const float>(at[4]),
                                              2 * count(0) * head_size, head_size}};
      return add_linear(name, operands, kernels::Activation::none);
    }
    case Kernel::layernorm: {
      const k::LayernormOperands operands{view<const Bf16>(at[0]), view<Bf16>(at[3]), weight(at[1]), weight(at[2]),
                                          rows(buffer(at[3]).rows), columns(at[3]), bits_to_float(scalars[0])};
      return add([operands](const Launch& launch) { return k::launch_layernorm(launch, operands); });
    }
    case Kernel::activation: {
      const k::ActivationOperands operands{view<const Bf16>(at[0]), view<Bf16>(at[1]), rows(buffer(at[1]).rows), columns(at[1])};
      const auto function = static_cast<kernels::Activation>(scalars[0]);
      return add([operands, function](const Launch& launch) { return k::launch_activation(launch, operands, function); });
    }
    case Kernel::add: {
      const k::AddOperands operands{view<const Bf16>(at[0]), view<const Bf16>(at[1]), view<Bf16>(at[2]), rows(buffer(at[2]).rows), columns(at[2])};
      return add([operands](const Launch& launch) { return k::launch_add(launch, operands); });
    }
    case Kernel::position_embedding: {
      const k::PositionEmbeddingOperands operands{{weight(at[0]), static_cast<std::int64_t>(buffer(at[0]).row_stride)},
                                                  view<const std::int32_t>(at[1]), view<Bf16>(at[2]), rows(buffer(at[2]).rows),
                                                  columns(at[2]), count(0)};
      return add([operands](const Launch& launch) { return k::launch_position_embedding(launch, operands); });
    }
    case Kernel::rope:
    case Kernel::rope_qk: {
      const bool packed = instruction.kernel == Kernel::rope_qk;
      const k::RopeOperands operands{view<const Bf16>(at[0]), view<Bf16>(at[3]), view<const std::int32_t>(at[1]), view<const float>(at[2]),
                                     rows(buffer(at[3]).rows), count(0), columns(at[3]) / (packed ? 3 : 1) / count(0)};
      if (packed) return add([operands](const Launch& launch) { return k::launch_rope_qk(launch, operands); });
      return add([operands](const Launch& launch) { return k::launch_rope(launch, operands); });
    }
    case Kernel::attention:
      return resolve_attention(instruction, name);
  }
}

void CudaProgram::add_linear(const std::string& name, const kernels::LinearOperands& operands, kernels::Activation activation) {
  const LinearTools tools{device_->architecture(), device_->properties().multiProcessorCount, device_->cublaslt(),
                          device_->algorithms(), device_->machine()};
  auto step = std::make_shared<LinearStep>(tools, operands, activation);
  linears_.push_back(step);
  steps_.push_back({name, [step](const Launch& launch) { return step->launch(launch); }});
}

void CudaProgram::resolve_attention(const Instruction& instruction, const std::string& name) {
  const auto& at = instruction.operands;
  const auto heads = static_cast<std::int32_t>(instruction.scalars[0]);
  const auto* counts = reinterpret_cast<const std::int32_t*>(device_control_->data());
  const kernels::AttentionOperands operands{
      .q = view<const Bf16>(at[0]),
      .k = view<const Bf16>(at[1]),
      .v = view<const Bf16>(at[2]),
      .y = view<Bf16>(at[4]),
      .row_capacity = row_capacity(buffer(at[0]).rows),
      .heads = heads,
      .head_size = static_cast<std::int32_t>(buffer(at[0]).columns) / heads,
      .scale = bits_to_float(instruction.scalars[1]),
      .tiles = reinterpret_cast<const kernels::AttentionTile*>(device_control_->data() + kTilesAt),
      .tile_count = {counts + program_.capacities.size(), 0, static_cast<std::int32_t>(tile_capacity_)},
  };
  constexpr std::int32_t kHeadSizes[] = {64, 72, 80, 96, 128};
  if (std::find(std::begin(kHeadSizes), std::end(kHeadSizes), operands.head_size) == std::end(kHeadSizes)) {
    unsupported(name, "head size " + std::to_string(operands.head_size) + " is none of 64, 72, 80, 96, 128");
  }
  if (device_->architecture() != kHopper) {
    steps_.push_back({name, [operands](const Launch& launch) { return kernels::smxx::launch_attention(launch, operands); }});
    return;
  }
  auto* work = reinterpret_cast<kernels::sm90::AttentionWork*>(attention_work_->data());
  steps_.push_back({name, [operands, work, tile_rows = tile_rows_](const Launch& launch) {
                      return kernels::sm90::launch_attention(launch, operands, work, tile_rows);
                    }});
}

}  // namespace vitgraph::cuda
