// activation(x · weightᵀ + bias) + residual, the residual's row being y's or the one that an index names; and the rotation
// of x · weightᵀ + bias.
#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

namespace {

enum { X, WEIGHT, BIAS, RESIDUAL };

std::shared_ptr<LinearStep> make(const StepContext& at, const kernels::LinearOperands& operands,
                                 kernels::Activation activation) {
  CudaDevice& device = at.parts().device;
  const LinearTools tools{device.architecture(), device.properties().multiProcessorCount, device.cublaslt(),
                          device.algorithms(), device.machine()};
  return std::make_shared<LinearStep>(tools, operands, activation);
}

StepLaunch launch_of(std::shared_ptr<LinearStep> step) {
  return [step = std::move(step)](const kernels::Launch& launch) { return step->launch(launch); };
}

StepLaunch launch_measured(const StepContext& at, std::shared_ptr<LinearStep> step) {
  at.parts().measured.push_back(step);
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
  enum { Y = RESIDUAL + 1 };
  kernels::LinearOperands operands = operands_of(at, Y);
  operands.residual = at.view<const Bf16>(RESIDUAL);
  return launch_measured(at, make(at, operands, at.activation(0)));
}

StepLaunch linear_gather_rows_step(const StepContext& at) {
  enum { TABLE = RESIDUAL, INDEX, Y };
  kernels::LinearOperands operands = operands_of(at, Y);
  operands.residual = at.view<const Bf16>(TABLE);
  operands.residual_rows = at.data<const std::int32_t>(INDEX);
  // Not measured before a capture: there is no index yet that it could follow.
  return launch_of(make(at, operands, at.activation(0)));
}

StepLaunch linear_rope_step(const StepContext& at) {
  enum { POSITIONS = RESIDUAL, ANGLES, Y };
  kernels::LinearOperands operands = operands_of(at, Y);
  const std::int32_t heads = at.count(0);
  const std::int32_t head_size = at.columns(Y) / 3 / heads;
  operands.rotation = {at.view<const std::int32_t>(POSITIONS), at.view<const float>(ANGLES), 2 * heads * head_size, head_size};
  if (!kernels::rows_aligned(operands.rotation.angles, 8)) at.unsupported("the rows of its angles do not start at multiples of 8 bytes");
  return launch_measured(at, make(at, operands, kernels::Activation::none));
}

}  // namespace vitgraph::cuda
