// Launches Hopper's linear layer: one kernel per tile and activation. heuristics.h chooses the tile.
#include "kernels/sm90/linear/linear.h"

#include <algorithm>

#include "kernels/common/linear_alignment.h"
#include "kernels/sm90/common/tensor_map.h"
#include "kernels/sm90/linear/linear_kernel.cuh"
#include "kernels/sm90/linear/linear_split_kernel.cuh"

namespace vitgraph::kernels::sm90 {
namespace {

/// [inner, rows] of x or weight; one copy moves a step of `box_rows` rows.
TensorBox<2> step_box(const View<const Bf16>& matrix, std::int32_t inner, std::int32_t rows, int box_rows) {
  return {.data = matrix.data,
          .sizes = {static_cast<std::uint64_t>(inner), static_cast<std::uint64_t>(rows)},
          .strides = {static_cast<std::uint64_t>(matrix.row_stride)},
          .box = {64, static_cast<std::uint32_t>(box_rows)},
          .row_bytes = 128};
}

/// One copy moves `x_rows` of x, or `weight_rows` of the weight.
cudaError_t describe(LinearArguments& arguments, const LinearOperands& operands, int x_rows, int weight_rows) {
  arguments.operands = operands;
  if (const auto error =
          encode_tensor_map(arguments.x, step_box(operands.x, operands.inner, operands.rows.capacity, x_rows))) {
    return error;
  }
  return encode_tensor_map(arguments.weight, step_box(operands.weight, operands.inner, operands.columns, weight_rows));
}

template <typename Kernel>
cudaError_t allow_shared_bytes(Kernel kernel, std::size_t bytes) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

/// Clusters per wave. A cluster's SMs are in one GPC, and GPCs do not divide evenly into clusters.
template <typename Shape, typename Kernel>
int most_clusters(const Launch& launch, Kernel kernel, std::size_t shared_bytes) {
  if constexpr (Shape::kCluster <= 2) return launch.multiprocessors / Shape::kCluster;
  // Queried once: equal on all devices of a process, or nearly so. A surplus block waits for an SM and stays correct.
  static const int most = [&] {
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(launch.multiprocessors / Shape::kCluster * Shape::kCluster));
    config.blockDim = dim3(Shape::kThreads);
    config.dynamicSmemBytes = shared_bytes;
    int clusters = 0;
    if (cudaOccupancyMaxActiveClusters(&clusters, kernel, &config) != cudaSuccess) cudaGetLastError();
    return clusters > 0 ? clusters : launch.multiprocessors / Shape::kCluster;
  }();
  return most;
}

template <typename Shape, typename Epilogue>
cudaError_t launch_kernel_of(const Launch& launch, const LinearOperands& operands) {
  constexpr std::size_t kSharedBytes = linear_shared_bytes<Shape, Epilogue>();
  // 256x192 leaves no shared memory for norms.
  if constexpr (kSharedBytes > 227 * 1024) {
    return cudaErrorNotSupported;
  } else {
    LinearArguments arguments{};
    if (const auto error = describe(arguments, operands, Shape::kRows / Shape::kClusterColumns,
                                    Shape::kColumns / Shape::kClusterRows)) {
      return error;
    }
    const auto kernel = linear_kernel<Shape, Epilogue>;
    if (const auto error = allow_shared_bytes(kernel, kSharedBytes)) return error;
    const int tiles = divide_up(operands.rows.capacity, Shape::kRows * Shape::kClusterRows) *
                      divide_up(operands.columns, Shape::kColumns * Shape::kClusterColumns);
    const int clusters = std::min(tiles, most_clusters<Shape>(launch, kernel, kSharedBytes));
    return launch_kernel(launch, kernel, dim3(static_cast<unsigned>(clusters * Shape::kCluster)), Shape::kThreads,
                         kSharedBytes, arguments);
  }
}

template <typename Shape, bool kNorm>
cudaError_t launch_activated(const Launch& launch, const LinearOperands& operands, Activation activation) {
  switch (activation) {
    case Activation::none:
      return launch_kernel_of<Shape, LinearEpilogue<Activation::none, false, kNorm>>(launch, operands);
    case Activation::gelu_tanh:
      return launch_kernel_of<Shape, LinearEpilogue<Activation::gelu_tanh, false, kNorm>>(launch, operands);
    case Activation::gelu_erf:
      return launch_kernel_of<Shape, LinearEpilogue<Activation::gelu_erf, false, kNorm>>(launch, operands);
    case Activation::quick_gelu:
      return launch_kernel_of<Shape, LinearEpilogue<Activation::quick_gelu, false, kNorm>>(launch, operands);
    case Activation::silu:
      return launch_kernel_of<Shape, LinearEpilogue<Activation::silu, false, kNorm>>(launch, operands);
  }
  return cudaErrorInvalidValue;
}

template <typename Shape>
cudaError_t launch_shape(const Launch& launch, const LinearOperands& operands, Activation activation) {
  const bool norm = operands.norm.statistics.data != nullptr;
  if (operands.statistics.data != nullptr)
    return launch_kernel_of<Shape, LinearEpilogue<Activation::none, false, false, true>>(launch, operands);
  if (operands.rotation.angles.data != nullptr) {
    return norm ? launch_kernel_of<Shape, LinearEpilogue<Activation::none, true, true>>(launch, operands)
                : launch_kernel_of<Shape, LinearEpilogue<Activation::none, true>>(launch, operands);
  }
  return norm ? launch_activated<Shape, true>(launch, operands, activation)
              : launch_activated<Shape, false>(launch, operands, activation);
}

template <typename Shape>
cudaError_t launch_split(const Launch& launch, const LinearOperands& operands, Activation activation) {
  LinearArguments arguments{};
  if (const auto error = describe(arguments, operands, Shape::kRows, Shape::kColumns / Shape::kClusterRows)) return error;
  constexpr std::size_t kSharedBytes = linear_split_shared_bytes<Shape>();
  static_assert(kSharedBytes <= 227 * 1024);
  const bool norm = operands.norm.statistics.data != nullptr;
  const bool rotate = operands.rotation.angles.data != nullptr;
  const auto kernel = operands.statistics.data != nullptr
                          ? linear_split_kernel<Shape, LinearEpilogue<Activation::none, false, false, true>>
                      : rotate && norm ? linear_split_kernel<Shape, LinearEpilogue<Activation::none, true, true>>
                      : rotate         ? linear_split_kernel<Shape, LinearEpilogue<Activation::none, true>>
                      : norm           ? linear_split_kernel<Shape, LinearEpilogue<Activation::none, false, true>>
                                       : linear_split_kernel<Shape, LinearEpilogue<>>;
  if (const auto error = allow_shared_bytes(kernel, kSharedBytes)) return error;
  const int clusters =
      divide_up(operands.rows.capacity, Shape::kRows * Shape::kClusterRows) * divide_up(operands.columns, Shape::kColumns);
  return launch_kernel(launch, kernel, dim3(static_cast<unsigned>(clusters * Shape::kCluster)), Shape::kThreads,
                       kSharedBytes, arguments, activation);
}

}  // namespace

cudaError_t launch_linear(const Launch& launch, const LinearOperands& operands, Activation activation,
                          LinearTile tile) {
  if (!linear_is_valid(operands, activation) || !linear_takes_vectors(operands)) return cudaErrorInvalidValue;
  if (activation != Activation::none && operands.residual.data != nullptr) return cudaErrorInvalidValue;
  // Consumers, 64-row blocks per consumer, tile columns, stages, cluster rows and columns. Small tiles use as many
  // stages as fit: their steps are short, so hiding the copies' latency takes many in flight. Their consumers share a
  // tile: where small tiles win, a block has only one or two.
  switch (tile) {
    case LinearTile::rows256_columns192:
      return launch_shape<LinearShape<Consumers::share_rows, 2, 2, 192, 4, 1, 1>>(launch, operands, activation);
    case LinearTile::rows192_columns192_cluster1x2:
      return launch_shape<LinearShape<Consumers::share_rows, 3, 1, 192, 4, 1, 2>>(launch, operands, activation);
    case LinearTile::rows192_columns144_cluster1x2:
      return launch_shape<LinearShape<Consumers::share_rows, 3, 1, 144, 5, 1, 2>>(launch, operands, activation);
    case LinearTile::rows192_columns128:
      return launch_shape<LinearShape<Consumers::share_rows, 3, 1, 128, 5, 1, 1>>(launch, operands, activation);
    case LinearTile::rows128_columns240:
      return launch_shape<LinearShape<Consumers::share_rows, 2, 1, 240, 4, 1, 1>>(launch, operands, activation);
    case LinearTile::rows128_columns192_cluster2x1:
      return launch_shape<LinearShape<Consumers::alternate, 2, 2, 192, 5, 2, 1>>(launch, operands, activation);
    case LinearTile::rows128_columns192_shared:
      return launch_shape<LinearShape<Consumers::share_rows, 2, 1, 192, 5, 1, 1>>(launch, operands, activation);
    case LinearTile::rows128_columns192_shared_cluster1x2:
      return launch_shape<LinearShape<Consumers::share_rows, 2, 1, 192, 5, 1, 2>>(launch, operands, activation);
    case LinearTile::rows128_columns144_cluster2x1:
      return launch_shape<LinearShape<Consumers::alternate, 2, 2, 144, 6, 2, 1>>(launch, operands, activation);
    case LinearTile::rows128_columns144_cluster2x2:
      return launch_shape<LinearShape<Consumers::alternate, 2, 2, 144, 6, 2, 2>>(launch, operands, activation);
    case LinearTile::rows128_columns144_shared:
      return launch_shape<LinearShape<Consumers::share_rows, 2, 1, 144, 6, 1, 1>>(launch, operands, activation);
    case LinearTile::rows128_columns128_cluster1x2:
      return launch_shape<LinearShape<Consumers::alternate, 2, 2, 128, 6, 1, 2>>(launch, operands, activation);
    case LinearTile::rows128_columns128_shared:
      return launch_shape<LinearShape<Consumers::share_rows, 2, 1, 128, 6, 1, 1>>(launch, operands, activation);
    case LinearTile::rows128_columns128_shared_cluster1x2:
      return launch_shape<LinearShape<Consumers::share_rows, 2, 1, 128, 6, 1, 2>>(launch, operands, activation);
    case LinearTile::rows128_columns64_cluster1x2:
      return launch_shape<LinearShape<Consumers::share_rows, 2, 1, 64, 9, 1, 2>>(launch, operands, activation);
    case LinearTile::rows64_columns160_cluster4x1:
      return launch_shape<LinearShape<Consumers::share_columns, 2, 1, 160, 7, 4, 1>>(launch, operands, activation);
    case LinearTile::rows64_columns128:
      return launch_shape<LinearShape<Consumers::share_columns, 2, 1, 128, 9, 1, 1>>(launch, operands, activation);
    case LinearTile::rows64_columns128_cluster4x1:
      return launch_shape<LinearShape<Consumers::share_columns, 2, 1, 128, 9, 4, 1>>(launch, operands, activation);
    case LinearTile::rows64_columns64:
      return launch_shape<LinearShape<Consumers::share_columns, 2, 1, 64, 13, 1, 1>>(launch, operands, activation);
    case LinearTile::rows64_columns64_cluster1x2:
      return launch_shape<LinearShape<Consumers::share_columns, 2, 1, 64, 13, 1, 2>>(launch, operands, activation);
    // Consumers, 64-row blocks per consumer, columns, stages, split of the inner dimension, cluster rows.
    case LinearTile::rows128_columns64_split3:
      return launch_split<LinearSplitShape<2, 1, 64, 8, 3, 1>>(launch, operands, activation);
    case LinearTile::rows128_columns192_split2_cluster2x1:
      return launch_split<LinearSplitShape<2, 1, 192, 4, 2, 2>>(launch, operands, activation);
  }
  return cudaErrorInvalidValue;
}

}  // namespace vitgraph::kernels::sm90
