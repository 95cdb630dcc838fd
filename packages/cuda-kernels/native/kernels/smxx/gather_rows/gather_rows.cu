// Launches gather_rows, which indexes its source, and scatter_rows, which indexes its destination.
#include "kernels/smxx/gather_rows/gather_rows.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/gather_rows/gather_rows_kernel.cuh"

namespace vitgraph::kernels::smxx {
namespace {

template <Indexed kSide>
cudaError_t launch_rows(const Launch& launch, const IndexedRowsOperands& operands) {
  const auto fits = [&](std::size_t bytes) {
    return static_cast<std::size_t>(operands.row_bytes) % bytes == 0 && rows_aligned(operands.x, bytes) &&
           rows_aligned(operands.y, bytes);
  };
  if (operands.row_bytes <= 0 || operands.rows.capacity <= 0 || !fits(2)) return cudaErrorInvalidValue;
  const auto launch_with = [&](auto kernel, std::int64_t word_bytes) {
    const std::int64_t words = operands.rows.capacity * (operands.row_bytes / word_bytes);
    return launch_kernel(launch, kernel, walking_grid(launch, words, 256), 256, 0, operands);
  };
  if (fits(16)) return launch_with(gather_rows_kernel<kSide, uint4>, 16);
  if (fits(4)) return launch_with(gather_rows_kernel<kSide, std::uint32_t>, 4);
  return launch_with(gather_rows_kernel<kSide, std::uint16_t>, 2);
}

}  // namespace

cudaError_t launch_gather_rows(const Launch& launch, const IndexedRowsOperands& operands) {
  return launch_rows<Indexed::x>(launch, operands);
}

cudaError_t launch_scatter_rows(const Launch& launch, const IndexedRowsOperands& operands) {
  return launch_rows<Indexed::y>(launch, operands);
}

}  // namespace vitgraph::kernels::smxx
