// Two-dimensional rotary embedding, of every head or of the queries and keys.
#include "kernels/smxx/rope/rope.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

namespace {

// Of both kernels: `x` is called `qkv` in rope_qk.
using namespace operands::rope;
static_assert(operands::rope_qk::QKV == X && operands::rope_qk::POSITIONS == POSITIONS &&
              operands::rope_qk::ANGLES == ANGLES && operands::rope_qk::Y == Y);

/// `parts`: equal column ranges of heads that a row has.
kernels::smxx::RopeOperands operands_of(const StepContext& at, std::int32_t parts) {
  const std::int32_t heads = at.count(0);
  return {at.view<const Bf16>(X),       at.view<Bf16>(Y), at.view<const std::int32_t>(POSITIONS),
          at.view<const float>(ANGLES), at.rows(Y),       heads,
          at.columns(Y) / parts / heads};
}

}  // namespace

StepLaunch rope_step(const StepContext& at) {
  return [operands = operands_of(at, 1)](const kernels::Launch& launch) {
    return kernels::smxx::launch_rope(launch, operands);
  };
}

StepLaunch rope_qk_step(const StepContext& at) {
  return [operands = operands_of(at, 3)](const kernels::Launch& launch) {
    return kernels::smxx::launch_rope_qk(launch, operands);
  };
}

}  // namespace vitgraph::cuda
