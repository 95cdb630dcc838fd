// Rows that an index names, out of a table or into one. Bytes are copied, whatever they mean.
#include "kernels/smxx/gather_rows/gather_rows.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

namespace {

// Of both kernels: `x` is called `table` in gather_rows.
using namespace operands::scatter_rows;
static_assert(operands::gather_rows::TABLE == X && operands::gather_rows::INDEX == INDEX &&
              operands::gather_rows::Y == Y);

kernels::smxx::IndexedRowsOperands operands_of(const StepContext& at) {
  const auto bytes = [&](std::size_t operand, std::uint32_t elements) {
    return static_cast<std::int64_t>(elements) * static_cast<std::int64_t>(size_of(at.buffer(operand).dtype));
  };
  return {{at.data<const std::byte>(X), bytes(X, at.buffer(X).row_stride)},
          {at.data<std::byte>(Y), bytes(Y, at.buffer(Y).row_stride)},
          at.data<const std::int32_t>(INDEX),
          at.rows(INDEX),
          static_cast<std::int32_t>(bytes(X, at.buffer(X).columns))};
}

}  // namespace

StepLaunch gather_rows_step(const StepContext& at) {
  return [operands = operands_of(at)](const kernels::Launch& launch) {
    return kernels::smxx::launch_gather_rows(launch, operands);
  };
}

StepLaunch scatter_rows_step(const StepContext& at) {
  return [operands = operands_of(at)](const kernels::Launch& launch) {
    return kernels::smxx::launch_scatter_rows(launch, operands);
  };
}

}  // namespace vitgraph::cuda
