#include "backend/cuda/cuda_program.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "backend/cuda/cuda_run.h"
#include "backend/cuda/status.h"
#include "kernels/sm90/attention/attention.h"
#include "kernels/smxx/activation/activation.h"
#include "kernels/smxx/add/add.h"
#include "kernels/smxx/attention/attention.h"
#include "kernels/smxx/gate/gate.h"
#include "kernels/smxx/gather_rows/gather_rows.h"
#include "kernels/smxx/layernorm/layernorm.h"
#include "kernels/smxx/mean_groups/mean_groups.h"
#include "kernels/smxx/position_embedding/position_embedding.h"
#include "kernels/smxx/rmsnorm/rmsnorm.h"
#include "kernels/smxx/rope/rope.h"
#include "kernels/smxx/unpack_patches/unpack_patches.h"

namespace vitgraph::cuda {
namespace {

using kernels::Bf16;
using kernels::Launch;

constexpr int kHopper = 90;
/// Of the grid on which patches stand while products are measured: an image of some 1000 pixels a side.
constexpr std::int32_t kGridWidth = 64;

[[noreturn]] void unsupported(const std::string& name, const std::string& fact) {
  throw Error("VG_PROGRAM_INVALID", name + ": " + fact, "use the CPU backend for this model");
}

}  // namespace

CudaProgram::CudaProgram(std::shared_ptr<CudaDevice> device, Program program, const Arenas& arenas)
    : device_(std::move(device)), program_(std::move(program)), arenas_(arenas), metadata_(program_), control_(program_.capacities.size()) {
  // The control block has its address before the steps take it.
  for (const Instruction& instruction : program_.instructions) {
    if (instruction.kernel == Kernel::attention) control_.table(table_key(instruction));
  }
  device_control_ = std::make_unique<DeviceMemory>(control_.size_bytes());
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
}

std::unique_ptr<Run> CudaProgram::begin(const Submission& submission, const std::atomic<bool>& cancelled) {
  if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  device_->activate();
  metadata_.check(submission);
  const auto place_of = [&](const Transfer& transfer) {
    return address(static_cast<std::int32_t>(transfer.buffer - program_.buffers.data())) + transfer.offset_bytes;
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
  // At capacity, on the counts of a full run; nothing else is run before the capture, so that no table of a run that
  // never was is followed.
  send_counts(program_.capacities);
  std::map<std::string, std::vector<std::shared_ptr<LinearStep>>> by_key;
  for (const auto& linear : linears_) by_key[linear->key()].push_back(linear);
  for (const auto& [key, steps] : by_key) {
    // Each time: the products before may have written where positions that were gathered stand.
    place_on_grid();
    LinearStep::measure(steps, device_->launch(true), device_->algorithms());
  }
  device_->algorithms().save();
  check(cudaStreamSynchronize(device_->stream()), "the measurement of the matrix products failed");
}

void CudaProgram::place_on_grid() {
  // Most programs turn all their products by the same positions.
  std::map<std::int32_t, std::int32_t> limits;
  for (const Instruction& instruction : program_.instructions) {
    if (instruction.kernel != Kernel::linear_rope) continue;
    const auto angles = static_cast<std::int32_t>(buffer(instruction.operands[4]).rows.plus);
    const auto [known, added] = limits.emplace(instruction.operands[3], angles);
    known->second = std::min(known->second, angles);
  }
  for (const auto& [target, limit] : limits) {
    const auto stride = static_cast<std::size_t>(buffer(target).row_stride);
    std::vector<std::int32_t> positions(static_cast<std::size_t>(row_capacity(buffer(target).rows)) * stride);
    for (std::size_t row = 0; row * stride < positions.size(); ++row) {
      const auto i = static_cast<std::int32_t>(row);
      const std::int32_t position[] = {i / kGridWidth % limit, i % kGridWidth % limit, limit, limit};
      std::copy(std::begin(position), std::end(position), positions.begin() + row * stride);
    }
    device_->inlet().send_in_order({address(target), std::as_bytes(std::span(positions))});
  }
}

void CudaProgram::send_counts(std::span<const std::uint32_t> counts) {
  for (const RunControl::Piece& piece : control_.write_without_tiles(counts)) {
    device_->inlet().send_in_order({device_control_->data() + piece.at, piece.bytes});
  }
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

LinearTools CudaProgram::linear_tools() const {
  return {device_->architecture(), device_->properties().multiProcessorCount, device_->cublaslt(), device_->algorithms(), device_->machine()};
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
                                             nullptr,
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
    case Kernel::rmsnorm: {
      const k::RmsnormOperands operands{view<const Bf16>(at[0]), view<Bf16>(at[2]), weight(at[1]), rows(buffer(at[2]).rows), columns(at[2]),
                                        bits_to_float(scalars[0])};
      return add([operands](const Launch& launch) { return k::launch_rmsnorm(launch, operands); });
    }
    case Kernel::gate: {
      const k::GateOperands operands{view<const Bf16>(at[0]), view<const Bf16>(at[1]), view<Bf16>(at[2]), rows(buffer(at[2]).rows), columns(at[2])};
      const auto function = static_cast<kernels::Activation>(scalars[0]);
      return add([operands, function](const Launch& launch) { return k::launch_gate(launch, operands, function); });
    }
    case Kernel::gather_rows:
    case Kernel::scatter_rows: {
      const bool gathers = instruction.kernel == Kernel::gather_rows;
      const auto bytes = [&](std::int32_t operand, std::uint32_t elements) {
        return static_cast<std::int64_t>(elements) * static_cast<std::int64_t>(size_of(buffer(operand).dtype));
      };
      const k::IndexedRowsOperands operands{{address(at[0]), bytes(at[0], buffer(at[0]).row_stride)},
                                            {address(at[2]), bytes(at[2], buffer(at[2]).row_stride)},
                                            reinterpret_cast<const std::int32_t*>(address(at[1])),
                                            rows(buffer(at[1]).rows),
                                            static_cast<std::int32_t>(bytes(at[0], buffer(at[0]).columns))};
      if (gathers) return add([operands](const Launch& launch) { return k::launch_gather_rows(launch, operands); });
      return add([operands](const Launch& launch) { return k::launch_scatter_rows(launch, operands); });
    }
    case Kernel::linear_gather_rows: {
      const kernels::LinearOperands operands{view<const Bf16>(at[0]),
                                             {weight(at[1]), static_cast<std::int64_t>(buffer(at[1]).row_stride)},
                                             weight(at[2]),
                                             view<const Bf16>(at[3]),
                                             view<Bf16>(at[5]),
                                             rows(buffer(at[5]).rows),
                                             columns(at[5]),
                                             columns(at[0]),
                                             reinterpret_cast<const std::int32_t*>(address(at[4]))};
      // Not among the products that are measured before a capture: there is no index yet that they could follow.
      const auto step = std::make_shared<LinearStep>(linear_tools(), operands, static_cast<kernels::Activation>(scalars[0]));
      return add([step](const Launch& launch) { return step->launch(launch); });
    }
    case Kernel::mean_groups: {
      const k::MeanGroupsOperands operands{view<const Bf16>(at[0]), view<Bf16>(at[1]), rows(buffer(at[1]).rows), columns(at[1]),
                                           columns(at[0]) / columns(at[1])};
      return add([operands](const Launch& launch) { return k::launch_mean_groups(launch, operands); });
    }
  }
}

void CudaProgram::add_linear(const std::string& name, const kernels::LinearOperands& operands, kernels::Activation activation) {
  auto step = std::make_shared<LinearStep>(linear_tools(), operands, activation);
  linears_.push_back(step);
  steps_.push_back({name, [step](const Launch& launch) { return step->launch(launch); }});
}

RunControl::TableKey CudaProgram::table_key(const Instruction& instruction) const {
  const Buffer& q = buffer(instruction.operands[0]);
  const std::int32_t list = instruction.operands[3];
  const std::int32_t rows = row_capacity(q.rows);
  const auto heads = static_cast<std::int32_t>(instruction.scalars[0]);
  const std::int32_t head_size = static_cast<std::int32_t>(q.columns) / heads;
  const std::int32_t multiprocessors = device_->properties().multiProcessorCount;
  return {.list = list,
          .tiling = device_->architecture() == kHopper
                        ? kernels::sm90::attention_tiling(rows, heads, head_size, multiprocessors)
                        : kernels::smxx::attention_tiling(heads, multiprocessors),
          .rows = rows,
          .segments = row_capacity(buffer(list).rows) - 1};
}

void CudaProgram::resolve_attention(const Instruction& instruction, const std::string& name) {
  const auto& at = instruction.operands;
  const RunControl::Table& table = control_.table(table_key(instruction));
  const std::byte* control = device_control_->data();
  const auto heads = static_cast<std::int32_t>(instruction.scalars[0]);
  const kernels::AttentionOperands operands{
      .q = view<const Bf16>(at[0]),
      .k = view<const Bf16>(at[1]),
      .v = view<const Bf16>(at[2]),
      .y = view<Bf16>(at[4]),
      .row_capacity = table.key.rows,
      .heads = heads,
      .head_size = static_cast<std::int32_t>(buffer(at[0]).columns) / heads,
      .scale = bits_to_float(instruction.scalars[1]),
      .tiles = reinterpret_cast<const kernels::AttentionStrip*>(control + table.tiles_at),
      .tile_count = {reinterpret_cast<const std::int32_t*>(control + table.count_at), 0, static_cast<std::int32_t>(table.capacity)},
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
  steps_.push_back({name, [operands, work, tallest = table.key.tiling.tallest](const Launch& launch) {
                      return kernels::sm90::launch_attention(launch, operands, work, tallest);
                    }});
}

}  // namespace vitgraph::cuda
