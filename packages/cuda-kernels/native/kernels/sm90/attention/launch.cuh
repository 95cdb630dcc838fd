// Launches one shape of the Hopper attention kernel. Separate, so that the ladder in dev/ launches its versions alike.
#pragma once

#include <algorithm>

#include "kernels/sm90/attention/attention_kernel.cuh"
#include "kernels/sm90/common/tensor_map.h"

namespace vitgraph::kernels::sm90 {

/// [head size, heads, rows] of q, k, v or y; one copy moves `row_bytes` of `rows` rows of a head.
inline TensorBox<3> head_box(const View<const Bf16>& matrix, const AttentionOperands& operands, int rows,
                             int row_bytes) {
  return {.data = matrix.data,
          .sizes = {static_cast<std::uint64_t>(operands.head_size), static_cast<std::uint64_t>(operands.heads),
                    static_cast<std::uint64_t>(operands.row_capacity)},
          .strides = {static_cast<std::uint64_t>(operands.head_size), static_cast<std::uint64_t>(matrix.row_stride)},
          .box = {static_cast<std::uint32_t>(row_bytes) / 2, 1, static_cast<std::uint32_t>(rows)},
          .row_bytes = row_bytes};
}

template <typename Shape>
cudaError_t launch_attention_shape(const Launch& launch, const AttentionOperands& operands, AttentionWork* work) {
  AttentionArguments arguments{};
  arguments.q = operands.q;
  arguments.k = operands.k;
  arguments.v = operands.v;
  arguments.y = operands.y;
  arguments.tiles = operands.tiles;
  arguments.tile_count = operands.tile_count;
  arguments.heads = operands.heads;
  arguments.scale = operands.scale * 1.4426950408889634f;
  arguments.work = work;
  const auto encode = [&](CUtensorMap& map, const View<const Bf16>& matrix, int rows, int row_bytes) {
    return encode_tensor_map(map, head_box(matrix, operands, rows, row_bytes));
  };
  const View<const Bf16> y{operands.y.data, operands.y.row_stride};
  if (const auto error = encode(arguments.q_full, operands.q, 64, 128)) return error;
  if (const auto error = encode(arguments.k_full, operands.k, Shape::kKeyRows, 128)) return error;
  if (const auto error = encode(arguments.v_full, operands.v, Shape::kKeyRows, 128)) return error;
  if (const auto error = encode(arguments.y_full, y, 16, 128)) return error;
  if constexpr (Shape::kRestRowBytes > 0) {
    if (const auto error = encode(arguments.q_rest, operands.q, 64, Shape::kRestRowBytes)) return error;
    if (const auto error = encode(arguments.k_rest, operands.k, Shape::kKeyRows, Shape::kRestRowBytes)) return error;
    if (const auto error = encode(arguments.y_rest, y, 16, Shape::kRestRowBytes)) return error;
  }
  constexpr std::size_t kSharedBytes = attention_shared_bytes<Shape>();
  const auto kernel = attention_kernel<Shape>;
  if (const auto error =
          cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kSharedBytes))) {
    return error;
  }
  const std::int64_t items = static_cast<std::int64_t>(operands.tile_count.capacity) * operands.heads;
  const auto blocks = std::min<std::int64_t>(items, launch.multiprocessors);
  return launch_kernel(launch, kernel, dim3(static_cast<unsigned>(blocks)), Shape::kThreads, kSharedBytes, arguments);
}

}  // namespace vitgraph::kernels::sm90
