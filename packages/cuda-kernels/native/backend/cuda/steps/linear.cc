// activation(x · weightᵀ + bias) + residual, the residual's row being y's or the one that an index names; and the rotation
// of x · weightᵀ + bias. And, on Hopper, products that write the statistics of their rows, and products that read rows
// through a norm.
#include <algorithm>

#include "backend/cuda/step.h"
#include "kernels/common/linear_alignment.h"

namespace vitgraph::cuda {

using kernels::Bf16;

namespace {

// The first operands of every product.
using operands::linear::BIAS;
using operands::linear::WEIGHT;
using operands::linear::X;

std::shared_ptr<LinearStep> make(const StepContext& at, const kernels::LinearOperands& operands,
                                 kernels::Activation activation) {
  CudaDevice& device = at.parts().device;
  const LinearTools tools{device.is_hopper(), device.properties().multiProcessorCount, device.cublaslt(),
                          device.algorithms(), device.machine()};
  return std::make_shared<LinearStep>(tools, operands, activation);
}

StepLaunch launch_of(std::shared_ptr<LinearStep> step) {
  return [step = std::move(step)](const kernels::Launch& launch) { return step->launch(launch); };
}

StepLaunch launch_autotuned(const StepContext& at, std::shared_ptr<LinearStep> step) {
  at.parts().autotuned.push_back(step);
  return launch_of(std::move(step));
}

kernels::LinearOperands operands_of(const StepContext& at, std::size_t y) {
  return {.x = at.view<const Bf16>(X),
          .weight = at.weight(WEIGHT),
          .bias = at.weight(BIAS).data,
          .residual = {nullptr, 0},
          .y = at.view<Bf16>(y),
          .rows = at.rows(y),
          .columns = at.columns(y),
          .inner = at.columns(X)};
}

}  // namespace

StepLaunch linear_step(const StepContext& at) {
  using namespace operands::linear;
  kernels::LinearOperands operands = operands_of(at, Y);
  operands.residual = at.view<const Bf16>(RESIDUAL);
  return launch_autotuned(at, make(at, operands, at.activation(0)));
}

StepLaunch linear_gather_rows_step(const StepContext& at) {
  using namespace operands::linear_gather_rows;
  kernels::LinearOperands operands = operands_of(at, Y);
  operands.residual = at.view<const Bf16>(TABLE);
  operands.residual_rows = at.data<const std::int32_t>(INDEX);
  // Not autotuned: before the first run there is no index to read.
  return launch_of(make(at, operands, at.activation(0)));
}

namespace {

kernels::LinearRotation rotation_of(const StepContext& at, std::size_t positions, std::size_t y) {
  const std::int32_t heads = at.count(0);
  const std::int32_t head_size = at.columns(y) / 3 / heads;
  const auto angles = at.view<const float>(positions + 1);
  if (!kernels::rows_aligned(angles, 8)) at.unsupported("the rows of its angles do not start at multiples of 8 bytes");
  return {at.view<const std::int32_t>(positions), angles, 2 * heads * head_size, head_size};
}

/// Checks every assumption of these kernels: no other kernel can take their place.
void require_hopper(const StepContext& at, const kernels::LinearOperands& operands) {
  if (!at.parts().device.is_hopper()) at.unsupported("it needs compute capability 9.0");
  if (!kernels::linear_takes_vectors(operands))
    at.unsupported("its columns are not a multiple of 8, or its rows do not start at multiples of 16 bytes");
}

/// The statistics of rows of `columns` columns.
kernels::RowStatistics statistics_of(const StepContext& at, std::size_t operand, std::int32_t columns) {
  const Buffer& buffer = at.buffer(operand);
  const std::int32_t rows = at.rows(operand).capacity;
  if (buffer.row_stride != buffer.columns ||
      rows * std::int64_t{buffer.columns} < kernels::row_statistics_size(rows, columns)) {
    at.unsupported("its statistics have " + std::to_string(buffer.columns) + " columns, which is not enough");
  }
  return {at.data<float>(operand), rows};
}

kernels::LinearOperands norm_operands_of(const StepContext& at, std::size_t y) {
  using namespace operands::linear_norm;
  const std::int32_t joined = at.rows(STATISTICS).capacity / std::max(at.rows(y).capacity, 1);
  if (joined == 0 || joined * at.rows(y).capacity != at.rows(STATISTICS).capacity || at.columns(X) % joined != 0) {
    at.unsupported("the rows of statistics do not divide into those of x");
  }
  kernels::LinearOperands operands{.x = at.view<const Bf16>(X),
                                   .weight = at.weight(WEIGHT),
                                   .bias = nullptr,
                                   .residual = {nullptr, 0},
                                   .y = at.view<Bf16>(y),
                                   .rows = at.rows(y),
                                   .columns = at.columns(y),
                                   .inner = at.columns(X)};
  operands.norm = {.statistics = statistics_of(at, STATISTICS, at.columns(X) / joined),
                   .joined_rows = joined,
                   .centred = at.count(1) == 1,
                   .epsilon = at.number(2),
                   .u = at.data<const float>(U),
                   .v = at.data<const float>(V)};
  require_hopper(at, operands);
  return operands;
}

}  // namespace

StepLaunch linear_statistics_step(const StepContext& at) {
  using namespace operands::linear_statistics;
  kernels::LinearOperands operands = operands_of(at, Y);
  operands.residual = at.view<const Bf16>(RESIDUAL);
  operands.statistics = statistics_of(at, STATISTICS, at.columns(Y));
  operands.residual_rows = at.data<const std::int32_t>(INDEX);
  if (operands.residual_rows != nullptr) operands.residual = at.view<const Bf16>(TABLE);
  require_hopper(at, operands);
  const auto step = make(at, operands, kernels::Activation::none);
  // As linear_gather_rows.
  return operands.residual_rows != nullptr ? launch_of(step) : launch_autotuned(at, step);
}

StepLaunch linear_norm_step(const StepContext& at) {
  using namespace operands::linear_norm;
  return launch_autotuned(at, make(at, norm_operands_of(at, Y), at.activation(0)));
}

StepLaunch linear_norm_rope_step(const StepContext& at) {
  using namespace operands::linear_norm_rope;
  kernels::LinearOperands operands = norm_operands_of(at, Y);
  operands.rotation = rotation_of(at, POSITIONS, Y);
  return launch_autotuned(at, make(at, operands, kernels::Activation::none));
}

StepLaunch linear_rope_step(const StepContext& at) {
  using namespace operands::linear_rope;
  kernels::LinearOperands operands = operands_of(at, Y);
  operands.rotation = rotation_of(at, POSITIONS, Y);
  return launch_autotuned(at, make(at, operands, kernels::Activation::none));
}

}  // namespace vitgraph::cuda
