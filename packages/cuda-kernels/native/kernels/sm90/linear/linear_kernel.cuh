// y = activation(x · weightᵀ + bias) + residual, or its rotation, for compute capability 9.0.
//
// One warpgroup copies (producer), the others compute (consumers). The blocks stay and walk over the tiles of the real
// rows. Consumers either take alternate tiles, so that the tensor cores work for one while the other finishes its tile
// (activation, residual, stores), or share a tile, which can then be larger. The blocks of a cluster take tiles beside each
// other: those of the same rows copy a part of x each, for all of them, and those of the same columns a part of the
// weights, since what L2 can deliver is the limit here. The order of tiles keeps a band of rows together, so that it and
// the weights it meets stay in L2.
//
// Template    LinearShape; LinearEpilogue.
// Grid        as many blocks as there are multiprocessors, at most one a tile of the capacity; whole clusters.
// Block       128 · (1 + kConsumers) threads; registers move from the producer to the consumers.
// Shared      kStages of x and weight, 64 columns each: rows of 128 bytes, swizzled.
// Assumes     columns and inner multiples of 8, rows at multiples of 16 bytes, bias at one of 4.
// Numerics    bf16 products with f32 sums, which start from the bias; see linear_epilogue.cuh for the rest. The copy
//             engine fills the inner dimension and the columns up with zeros; rows beyond the real ones are computed and
//             not written.
#pragma once

#include "kernels/common/linear_epilogue.cuh"
#include "kernels/sm90/common/tensor_copy.cuh"
#include "kernels/sm90/common/wgmma.cuh"

namespace vitgraph::kernels::sm90 {

/// What a kernel does besides the product. (A type: nvcc 13.0 writes code that does not compile for a struct as a value.)
template <Activation kActivation_ = Activation::none, bool kRotate_ = false, bool kNorm_ = false, bool kStatistics_ = false>
struct LinearEpilogue {
  static constexpr Activation kActivation = kActivation_;
  static constexpr bool kRotate = kRotate_;
  static constexpr bool kNorm = kNorm_;
  static constexpr bool kStatistics = kStatistics_;
};

/// Whether consumers share a tile.
enum class Consumers { alternate, share };

/// kConsumers of kRowBlocks · 64 rows and kColumns each, in clusters of kClusterRows × kClusterColumns tiles.
template <Consumers kWork_, int kConsumers_, int kRowBlocks_, int kColumns_, int kStages_, int kClusterRows_,
          int kClusterColumns_>
struct LinearShape {
  static constexpr bool kShare = kWork_ == Consumers::share;
  static constexpr int kConsumers = kConsumers_;
  static constexpr int kRowBlocks = kRowBlocks_;
  static constexpr int kConsumerRows = 64 * kRowBlocks;
  static constexpr int kRows = kConsumerRows * (kShare ? kConsumers : 1);
  static constexpr int kColumns = kColumns_;
  static constexpr int kStages = kStages_;
  static constexpr int kClusterRows = kClusterRows_;
  static constexpr int kClusterColumns = kClusterColumns_;
  static constexpr int kCluster = kClusterRows * kClusterColumns;
  /// Blocks that copy into a block's memory: those of its rows and those of its columns, itself among them.
  static constexpr int kCopiers = kClusterRows + kClusterColumns - 1;
  static constexpr int kThreads = 128 * (1 + kConsumers);
  static constexpr int kStep = 64;
  static constexpr int kStepRowBytes = 128;
  static constexpr int kXBytes = kRows * kStepRowBytes;
  static constexpr int kWeightBytes = kColumns * kStepRowBytes;
  static constexpr int kTensorBytes = kStages * (kXBytes + kWeightBytes);
  /// 1024 rows.
  static constexpr int kBandTiles = 1024 / (kRows * kClusterRows);
  static constexpr int kProducerRegisters = kConsumers == 2 ? 40 : 32;
  static constexpr int kConsumerRegisters = kConsumers == 2 ? 232 : 160;
};

/// What follows the tensors in shared memory.
template <int kStages>
struct LinearShared {
  Barrier full[kStages];
  Barrier empty[kStages];
};

template <typename Shape>
constexpr std::size_t linear_shared_bytes() {
  return Shape::kTensorBytes + sizeof(LinearShared<Shape::kStages>);
}

struct LinearArguments {
  CUtensorMap x;
  CUtensorMap weight;
  LinearOperands operands;
};

/// The tiles of the real rows, in the order in which they are computed: a cluster's, which is that of all its blocks.
template <typename Shape>
struct TileOrder {
  int row_tiles;
  int column_tiles;

  __device__ __forceinline__ TileOrder(int rows, int columns)
      : row_tiles(divide_up(rows, Shape::kRows * Shape::kClusterRows)),
        column_tiles(divide_up(columns, Shape::kColumns * Shape::kClusterColumns)) {}

  __device__ __forceinline__ int count() const { return row_tiles * column_tiles; }

  /// First row and column of a tile: bands of rows, in a band column by column.
  __device__ __forceinline__ int2 at(int tile) const {
    const int band = tile / (Shape::kBandTiles * column_tiles);
    const int band_rows = min(Shape::kBandTiles, row_tiles - band * Shape::kBandTiles);
    const int in_band = tile - band * Shape::kBandTiles * column_tiles;
    const int column = in_band / band_rows;
    return {(band * Shape::kBandTiles + in_band - column * band_rows) * Shape::kRows * Shape::kClusterRows,
            column * Shape::kColumns * Shape::kClusterColumns};
  }
};

/// This block's place in its cluster.
template <typename Shape>
struct ClusterPlace {
  int row;
  int column;

  __device__ __forceinline__ ClusterPlace() {
    const int rank = Shape::kCluster == 1 ? 0 : cluster_rank();
    row = rank / Shape::kClusterColumns;
    column = rank % Shape::kClusterColumns;
  }

  static __device__ __forceinline__ int rank_of(int row, int column) { return row * Shape::kClusterColumns + column; }

  /// Bits of the blocks of its rows, and of its columns.
  __device__ __forceinline__ std::uint16_t row_mask() const {
    return static_cast<std::uint16_t>(((1 << Shape::kClusterColumns) - 1) << rank_of(row, 0));
  }
  __device__ __forceinline__ std::uint16_t column_mask() const {
    int mask = 0;
#pragma unroll
    for (int i = 0; i < Shape::kClusterRows; ++i) mask |= 1 << rank_of(i, column);
    return static_cast<std::uint16_t>(mask);
  }
  /// The i-th of the blocks that copy into this one's memory.
  __device__ __forceinline__ int copier(int i) const {
    if (i < Shape::kClusterColumns) return rank_of(row, i);
    const int other = i - Shape::kClusterColumns;
    return rank_of(other < row ? other : other + 1, column);
  }
};

/// Weights never change, so the first of them are on their way before the kernel that computes x has ended.
template <typename Shape>
__device__ __forceinline__ void produce(const LinearArguments& arguments, const TileOrder<Shape>& order, int steps,
                                        int first_tile, int tile_stride, std::uint32_t x_shared,
                                        std::uint32_t weight_shared, LinearShared<Shape::kStages>& shared) {
  constexpr int kXPart = Shape::kRows / Shape::kClusterColumns;
  constexpr int kWeightPart = Shape::kColumns / Shape::kClusterRows;
  const ClusterPlace<Shape> place;
  const std::uint16_t row_mask = place.row_mask();
  const std::uint16_t column_mask = place.column_mask();
  const auto expect = [&](int stage) {
    barrier_arrive_expecting(&shared.full[stage], Shape::kXBytes + Shape::kWeightBytes);
  };
  const auto copy_weight = [&](int stage, int step, int2 first) {
    const std::uint32_t to = weight_shared + stage * Shape::kWeightBytes;
    const int column = first.y + place.column * Shape::kColumns;
    if constexpr (Shape::kClusterRows == 1) {
      copy_box(to, &arguments.weight, &shared.full[stage], step * Shape::kStep, column);
    } else {
      copy_box_to_blocks(to + place.row * kWeightPart * Shape::kStepRowBytes, &arguments.weight, &shared.full[stage],
                         step * Shape::kStep, column + place.row * kWeightPart, column_mask);
    }
  };
  const auto copy_x = [&](int stage, int step, int2 first) {
    const std::uint32_t to = x_shared + stage * Shape::kXBytes;
    const int row = first.x + place.row * Shape::kRows;
    if constexpr (Shape::kClusterColumns == 1) {
      copy_box(to, &arguments.x, &shared.full[stage], step * Shape::kStep, row);
    } else {
      copy_box_to_blocks(to + place.column * kXPart * Shape::kStepRowBytes, &arguments.x, &shared.full[stage],
                         step * Shape::kStep, row + place.column * kXPart, row_mask);
    }
  };
  // The ring is empty, so its stages need no waiting for.
  int ahead = 0;
  if (first_tile < order.count()) {
    for (; ahead < min(steps, Shape::kStages); ++ahead) {
      expect(ahead);
      copy_weight(ahead, ahead, order.at(first_tile));
    }
  }
  await_previous_kernels();
  RingPosition<Shape::kStages> at;
  for (int tile = first_tile; tile < order.count(); tile += tile_stride) {
    const int2 first = order.at(tile);
    for (int step = 0; step < steps; ++step) {
      if (ahead > 0) {
        --ahead;
      } else {
        barrier_wait(&shared.empty[at.stage], at.parity ^ 1);
        expect(at.stage);
        copy_weight(at.stage, step, first);
      }
      copy_x(at.stage, step, first);
      at.advance();
    }
  }
}

/// The norm of lane i's row, for all rows of a warp's sums: of 16 rows of the first block, then of the second.
template <typename Shape>
__device__ __forceinline__ RowNorm find_norms(const LinearOperands& operands, int first_row, int rows) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = first_row + static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane % 16 + lane / 16 % Shape::kRowBlocks * 64;
  return find_norm(operands.norm, min(row, rows - 1), operands.inner);
}

/// From find_norms' lane of a row that this lane has sums of.
__device__ __forceinline__ float of_row_lane(float value, int block, int half) {
  return __shfl_sync(~0u, value, block * 16 + half * 8 + static_cast<int>(threadIdx.x) % 32 / 4);
}

template <typename Shape, typename Epilogue>
__device__ __forceinline__ void consume(const LinearOperands& operands, int rows, const TileOrder<Shape>& order,
                                        int steps, int first_tile, int tile_stride, int consumer,
                                        std::uint32_t x_shared, std::uint32_t weight_shared,
                                        LinearShared<Shape::kStages>& shared) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row_in_tile = (Shape::kShare ? consumer * Shape::kConsumerRows : 0) +
                          static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4;
  const ClusterPlace<Shape> place;
  const std::uint64_t x_matrix = matrix_descriptor(
      x_shared + (Shape::kShare ? consumer * Shape::kConsumerRows * Shape::kStepRowBytes : 0), Shape::kStepRowBytes);
  const std::uint64_t weight_matrix = matrix_descriptor(weight_shared, Shape::kStepRowBytes);
  // Who copies into a block's buffers must know that they are free.
  const auto release = [&](int stage) {
    __syncwarp();
    if constexpr (Shape::kCluster == 1) {
      if (lane == 0) barrier_arrive(&shared.empty[stage]);
    } else {
      if (lane < Shape::kCopiers) barrier_arrive_in(&shared.empty[stage], place.copier(lane));
    }
  };
  RingPosition<Shape::kStages> at;
  // Turns also keep a consumer from looking at a barrier before its phase: the other has seen all phases before.
  if (!Shape::kShare && consumer == 1) named_barrier_arrive(1, 256);
  for (int tile = first_tile, turn = 0; tile < order.count(); tile += tile_stride, turn ^= 1) {
    if (!Shape::kShare && turn != consumer) {
      at.advance_by(steps);
      continue;
    }
    int2 first = order.at(tile);
    first.x += place.row * Shape::kRows;
    first.y += place.column * Shape::kColumns;
    float sums[Shape::kRowBlocks][Shape::kColumns / 2];
    float scale = 1;
    if constexpr (Epilogue::kNorm) {
      // From (v σ − mean u) the products lead to σ y, so that all that is left at the end is to divide by σ.
      const RowNorm norm =
          find_norms<Shape>(operands, first.x + (Shape::kShare ? consumer * Shape::kConsumerRows : 0), rows);
      scale = 1.0f / norm.deviation;
      float means[Shape::kRowBlocks][2];
      float deviations[Shape::kRowBlocks][2];
#pragma unroll
      for (int i = 0; i < 2 * Shape::kRowBlocks; ++i) {
        means[i / 2][i % 2] = of_row_lane(norm.mean, i / 2, i % 2);
        deviations[i / 2][i % 2] = of_row_lane(norm.deviation, i / 2, i % 2);
      }
#pragma unroll
      for (int j = 0; j < Shape::kColumns / 8; ++j) {
        const float2 u = load_norm_vector(operands.norm.u, first.y + 8 * j, operands.columns);
        const float2 v = load_norm_vector(operands.norm.v, first.y + 8 * j, operands.columns);
#pragma unroll
        for (int i = 0; i < 2 * Shape::kRowBlocks; ++i) {
          float* two = sums[i / 2] + 4 * j + i % 2 * 2;
          two[0] = v.x * deviations[i / 2][i % 2] - means[i / 2][i % 2] * u.x;
          two[1] = v.y * deviations[i / 2][i % 2] - means[i / 2][i % 2] * u.y;
        }
      }
    } else {
#pragma unroll
      for (int j = 0; j < Shape::kColumns / 8; ++j) {
        const float2 bias = load_bias<true>(operands, first.y + 8 * j);
#pragma unroll
        for (int block = 0; block < Shape::kRowBlocks; ++block) {
          sums[block][4 * j] = sums[block][4 * j + 2] = bias.x;
          sums[block][4 * j + 1] = sums[block][4 * j + 3] = bias.y;
        }
      }
    }
    if (!Shape::kShare) named_barrier_sync(1 + consumer, 256);
    int last_stage = 0;
    for (int step = 0; step < steps; ++step) {
      barrier_wait(&shared.full[at.stage], at.parity);
      products_fence();
#pragma unroll
      for (int block = 0; block < Shape::kRowBlocks; ++block) pin_registers(sums[block]);
#pragma unroll
      for (int k = 0; k < Shape::kStep / 16; ++k) {
#pragma unroll
        for (int block = 0; block < Shape::kRowBlocks; ++block) {
          SharedProduct<Shape::kColumns>::add(
              sums[block], moved(x_matrix, at.stage * Shape::kXBytes + block * 64 * Shape::kStepRowBytes + k * 32),
              moved(weight_matrix, at.stage * Shape::kWeightBytes + k * 32), true);
        }
      }
      products_commit();
      products_wait<1>();
      if (step > 0) release(last_stage);
      last_stage = at.stage;
      at.advance();
    }
    if (!Shape::kShare) named_barrier_arrive(2 - consumer, 256);
    // Where a row's angles stand is looked up while the last products run.
    RowTurns turns[Shape::kRowBlocks][2]{};
    if constexpr (Epilogue::kRotate) {
#pragma unroll
      for (int i = 0; i < 2 * Shape::kRowBlocks; ++i) {
        const int row = first.x + row_in_tile + i / 2 * 64 + i % 2 * 8;
        turns[i / 2][i % 2] = find_turns(operands.rotation, row, row < rows);
      }
    }
    products_wait<0>();
#pragma unroll
    for (int block = 0; block < Shape::kRowBlocks; ++block) pin_registers(sums[block]);
    release(last_stage);

    const auto finish = [&]<bool kTurn>() {
#pragma unroll
      for (int block = 0; block < Shape::kRowBlocks; ++block) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = first.x + row_in_tile + block * 64 + half * 8;
          // A group of 32 columns that the tile has half of ends with zeros, which are not written.
          float of_row[divide_up(Shape::kColumns, 32)][8]{};
          const float row_scale = Epilogue::kNorm ? of_row_lane(scale, block, half) : 1.0f;
#pragma unroll
          for (int i = 0; i < Shape::kColumns / 4; ++i) {
            const float sum = sums[block][i / 2 * 4 + 2 * half + i % 2];
            of_row[i / 8][i % 8] = Epilogue::kNorm ? sum * row_scale : sum;
          }
          finish_row<Epilogue::kActivation, true, kTurn, Epilogue::kStatistics ? Shape::kColumns : 0>(operands, row, row < rows, first.y, first.y + Shape::kColumns, of_row,
                                               turns[block][half]);
        }
      }
    };
    if (Epilogue::kRotate && first.y < operands.rotation.columns) {
      finish.template operator()<Epilogue::kRotate>();
    } else {
      finish.template operator()<false>();
    }
  }
}

template <typename Shape, typename Epilogue>
__global__ void __cluster_dims__(Shape::kCluster) __launch_bounds__(Shape::kThreads, 1)
    linear_kernel(const __grid_constant__ LinearArguments arguments) {
  constexpr int kReleasingWarps = 4 * (Shape::kShare ? Shape::kConsumers : 1) * Shape::kCopiers;
  extern __shared__ __align__(1024) unsigned char tensors[];
  auto& shared = *reinterpret_cast<LinearShared<Shape::kStages>*>(tensors + Shape::kTensorBytes);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Shape::kStages; ++stage) {
      barrier_init(&shared.full[stage], 1);
      barrier_init(&shared.empty[stage], kReleasingWarps);
    }
    barrier_init_done();
    prefetch_tensor_map(&arguments.x);
    prefetch_tensor_map(&arguments.weight);
  }
  if constexpr (Shape::kCluster == 1) {
    __syncthreads();
  } else {
    cluster_sync();
  }
  // Counts are written before the first kernel of a run, so they need no waiting for either.
  const int rows = uniform(real_rows(arguments.operands.rows));
  const TileOrder<Shape> order(rows, arguments.operands.columns);
  const int steps = divide_up(arguments.operands.inner, Shape::kStep);
  const int first_tile = static_cast<int>(blockIdx.x) / Shape::kCluster;
  const int tile_stride = static_cast<int>(gridDim.x) / Shape::kCluster;
  const std::uint32_t x_shared = shared_address(tensors);
  const std::uint32_t weight_shared = x_shared + Shape::kStages * Shape::kXBytes;
  // One if and else: the compiler gives each branch the registers that it asks for.
  const int warpgroup = uniform(static_cast<int>(threadIdx.x) / 128);
  if (warpgroup == 0) {
    give_registers<Shape::kProducerRegisters>();
    if (threadIdx.x < 32 && is_elected()) {
      produce<Shape>(arguments, order, steps, first_tile, tile_stride, x_shared, weight_shared, shared);
    }
    __syncwarp();
  } else {
    take_registers<Shape::kConsumerRegisters>();
    await_previous_kernels();
    if (Epilogue::kStatistics && blockIdx.x == 0 && threadIdx.x == 128) {
      write_statistics_width(arguments.operands, Shape::kColumns);
    }
    consume<Shape, Epilogue>(arguments.operands, rows, order, steps, first_tile, tile_stride, warpgroup - 1, x_shared,
                              weight_shared, shared);
  }
  // A block's shared memory must outlive what the others of its cluster send there.
  if constexpr (Shape::kCluster > 1) cluster_sync();
}

}  // namespace vitgraph::kernels::sm90
