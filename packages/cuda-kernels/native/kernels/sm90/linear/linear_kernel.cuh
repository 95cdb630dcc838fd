// y = activation(x · weightᵀ + bias) + residual, or its rotation, for compute capability 9.0.
//
// One producer warpgroup copies; the consumer warpgroups compute. Blocks are persistent and iterate over the tiles of
// the real rows. Consumers either alternate over tiles, so that one's epilogue (activation, residual, stores) overlaps
// the other's products, or share a tile by its rows or columns. A shared tile can be larger, and finishes sooner if a
// block has only one tile to compute. The blocks of a cluster take adjacent tiles: blocks of the same rows each
// multicast a part of x, blocks of the same columns a part of the weights, since L2 bandwidth is the limit. The tile
// order keeps a band of rows together, so that the band and its weights stay in L2.
//
// Template    LinearShape; LinearEpilogue.
// Grid        one block per SM, at most one per tile of the capacity; whole clusters.
// Block       128 · (1 + kConsumers) threads; registers are reallocated from the producer to the consumers.
// Shared      kStages of x and weight, 64 columns each: rows of 128 bytes, swizzled.
// Assumes     columns a multiple of 8; rows aligned to 16 bytes, bias to 4.
// Numerics    bf16 products with f32 sums, initialised with the bias; the rest as in linear_epilogue.cuh. TMA
//             zero-fills the inner dimension and the columns; padding rows are computed and not written.
#pragma once

#include <type_traits>

#include "kernels/common/linear_epilogue.cuh"
#include "kernels/sm90/common/tensor_copy.cuh"
#include "kernels/sm90/common/wgmma.cuh"

namespace vitgraph::kernels::sm90 {

/// The operations fused with the product. (A type: from a struct as a value nvcc 13.0 generates invalid code.)
template <Activation kActivation_ = Activation::none, bool kRotate_ = false, bool kNorm_ = false,
          bool kStatistics_ = false>
struct LinearEpilogue {
  static constexpr Activation kActivation = kActivation_;
  static constexpr bool kRotate = kRotate_;
  static constexpr bool kNorm = kNorm_;
  static constexpr bool kStatistics = kStatistics_;
  static constexpr bool kResidual = kActivation == Activation::none && !kRotate && !kNorm;
};

/// How consumers divide the work: alternate tiles, or one shared tile.
enum class Consumers { alternate, share_rows, share_columns };

/// kConsumers of kRowBlocks · 64 rows each, tiles of kColumns, clusters of kClusterRows × kClusterColumns tiles.
template <Consumers kWork_, int kConsumers_, int kRowBlocks_, int kColumns_, int kStages_, int kClusterRows_,
          int kClusterColumns_>
struct LinearShape {
  static constexpr bool kShare = kWork_ != Consumers::alternate;
  static constexpr int kConsumers = kConsumers_;
  static constexpr int kRowBlocks = kRowBlocks_;
  static constexpr int kRows = 64 * kRowBlocks * (kWork_ == Consumers::share_rows ? kConsumers : 1);
  static constexpr int kColumns = kColumns_;
  static constexpr int kConsumerColumns = kColumns / (kWork_ == Consumers::share_columns ? kConsumers : 1);
  /// Rows between the parts of consecutive consumers in a tile.
  static constexpr int kRowsApart = kWork_ == Consumers::share_rows ? 64 * kRowBlocks : 0;
  static constexpr int kColumnsApart = kWork_ == Consumers::share_columns ? kConsumerColumns : 0;
  static constexpr int kStages = kStages_;
  static constexpr int kClusterRows = kClusterRows_;
  static constexpr int kClusterColumns = kClusterColumns_;
  static constexpr int kCluster = kClusterRows * kClusterColumns;
  /// Blocks that copy into a block's shared memory: those of its rows and those of its columns, including itself.
  static constexpr int kCopiers = kClusterRows + kClusterColumns - 1;
  static constexpr int kThreads = 128 * (1 + kConsumers);
  static constexpr int kStep = 64;
  static constexpr int kStepRowBytes = 128;
  static constexpr int kXBytes = kRows * kStepRowBytes;
  static constexpr int kWeightBytes = kColumns * kStepRowBytes;
  static constexpr int kTensorBytes = kStages * (kXBytes + kWeightBytes);
  /// Groups of residual loaded at once: half a row if the sums leave few registers.
  static constexpr int kResidualGroups = kRowBlocks * kConsumerColumns > 320 ? 3 : 8;
  /// A band is 1024 rows.
  static constexpr int kBandTiles = 1024 / (kRows * kClusterRows);
  /// With norms the producer's other warps work too: they load as many pieces of a row at once as fit.
  static constexpr int kSums = kRowBlocks * kConsumerColumns / 2;
  /// Copies of the code of a step. The kernels of a layer exceed the instruction cache, so each launch fetches its code
  /// again; but steps of small tiles are short.
  static constexpr int kUnrolledSteps = kSums > 64 ? 1 : 2;
  static constexpr int kNormBatch = kConsumers == 3 || kSums > 144 ? 3 : kSums > 80 ? 9 : 18;
  static __host__ __device__ constexpr int producer_registers(bool norm) {
    if (kConsumers == 3) return norm ? 56 : 32;
    return !norm || kNormBatch == 3 ? 40 : kNormBatch == 9 ? 72 : 104;
  }
  static __host__ __device__ constexpr int consumer_registers(bool norm) {
    if (kConsumers == 3) return norm ? 152 : 160;
    return !norm || kNormBatch == 3 ? 232 : kNormBatch == 9 ? 216 : 200;
  }
};

/// The part of shared memory after the tensors.
template <int kStages>
struct LinearShared {
  Barrier full[kStages];
  Barrier empty[kStages];
};

/// Norms of a tile's rows (mean, 1 / σ) and the vectors of its columns, double-buffered. Placed after the ring's
/// barriers.
template <typename Shape>
struct LinearNormShared {
  float2 rows[2][Shape::kRows];
  float u[2][Shape::kColumns];
  float v[2][Shape::kColumns];
  Barrier full[2];
  Barrier empty[2];
};

/// Whether the epilogue is a loop over a thread's rows, which is less code (see kUnrolledSteps). Unrolled, the loads of a
/// small tile's rows overlap; and the largest tiles have no registers left for a loop, nor have 144 sums with erf.
template <typename Shape, typename Epilogue>
inline constexpr bool kLoopsOverRows = Shape::kConsumers == 2 && Shape::kSums > 64 &&
                                       Shape::kSums <= (Epilogue::kActivation == Activation::gelu_erf ? 120 : 144);

template <typename Shape, typename Epilogue>
constexpr std::size_t linear_shared_bytes() {
  return Shape::kTensorBytes + sizeof(LinearShared<Shape::kStages>) +
         (Epilogue::kNorm ? sizeof(LinearNormShared<Shape>) : 0);
}

struct LinearArguments {
  CUtensorMap x;
  CUtensorMap weight;
  LinearOperands operands;
};

/// The tiles of the real rows in order of computation. The order is per cluster, shared by its blocks.
template <typename Shape>
struct TileOrder {
  int row_tiles;
  int column_tiles;

  __device__ __forceinline__ TileOrder(int rows, int columns)
      : row_tiles(divide_up(rows, Shape::kRows * Shape::kClusterRows)),
        column_tiles(divide_up(columns, Shape::kColumns * Shape::kClusterColumns)) {}

  __device__ __forceinline__ int count() const { return row_tiles * column_tiles; }

  /// First row and column of a tile: band by band, column by column within a band.
  __device__ __forceinline__ int2 at(int tile) const {
    const int band = tile / (Shape::kBandTiles * column_tiles);
    const int band_rows = min(Shape::kBandTiles, row_tiles - band * Shape::kBandTiles);
    const int in_band = tile - band * Shape::kBandTiles * column_tiles;
    const int column = in_band / band_rows;
    return {(band * Shape::kBandTiles + in_band - column * band_rows) * Shape::kRows * Shape::kClusterRows,
            column * Shape::kColumns * Shape::kClusterColumns};
  }
};

/// This block's position in its cluster.
template <typename Shape>
struct ClusterPlace {
  int row;
  int column;

  __device__ __forceinline__ explicit ClusterPlace(int rank = Shape::kCluster == 1 ? 0 : cluster_rank())
      : row(rank / Shape::kClusterColumns), column(rank % Shape::kClusterColumns) {}

  static __device__ __forceinline__ int rank_of(int row, int column) { return row * Shape::kClusterColumns + column; }

  /// Multicast masks of the blocks of its rows, and of its columns.
  __device__ __forceinline__ std::uint16_t row_mask() const {
    return static_cast<std::uint16_t>(((1 << Shape::kClusterColumns) - 1) << rank_of(row, 0));
  }
  __device__ __forceinline__ std::uint16_t column_mask() const {
    int mask = 0;
#pragma unroll
    for (int i = 0; i < Shape::kClusterRows; ++i) mask |= 1 << rank_of(i, column);
    return static_cast<std::uint16_t>(mask);
  }
  /// The i-th block that copies into this one's shared memory.
  __device__ __forceinline__ int copier(int i) const {
    if (i < Shape::kClusterColumns) return rank_of(row, i);
    const int other = i - Shape::kClusterColumns;
    return rank_of(other < row ? other : other + 1, column);
  }
};

/// Waits until all stages are released. A block must not exit before the other blocks of its cluster have read what it
/// copied to them.
template <int kStages>
__device__ __forceinline__ void await_releases(LinearShared<kStages>& shared, RingPosition<kStages> at) {
  for (int stage = 0; stage < kStages; ++stage) {
    barrier_wait(&shared.empty[at.stage], at.parity ^ 1);
    at.advance();
  }
}

/// Prefetches the first weights: they never change, so their copies can start before the kernel that computes x ends.
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
  // The ring is empty, so its stages need no wait.
  int ahead = 0;
  if (first_tile < order.count()) {
#pragma unroll(Shape::kUnrolledSteps)
    for (; ahead < min(steps, Shape::kStages); ++ahead) {
      expect(ahead);
      copy_weight(ahead, ahead, order.at(first_tile));
    }
  }
  await_previous_kernels();
  RingPosition<Shape::kStages> at;
  for (int tile = first_tile; tile < order.count(); tile += tile_stride) {
    const int2 first = order.at(tile);
#pragma unroll(Shape::kUnrolledSteps)
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
  if constexpr (Shape::kCluster > 1) await_releases(shared, at);
}

/// This thread's number, read once more: what depends on it is then not kept in registers during the products.
__device__ __forceinline__ int thread_again() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
}

/// Loads two floats from shared memory in program order: the compiler would hoist all such loads, and spill the sums.
__device__ __forceinline__ float2 load_in_order(const float* from) {
  float2 two;
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(two.x), "=f"(two.y) : "r"(shared_address(from)));
  return two;
}

/// Moves the sums of each of a thread's rows to the registers of the row before.
template <int kRowBlocks, int kSize>
__device__ __forceinline__ void next_row(float (&sums)[kRowBlocks][kSize]) {
#pragma unroll
  for (int block = 0; block < kRowBlocks; ++block) {
#pragma unroll
    for (int i = 0; i < kSize; i += 4) {
#pragma unroll
      for (int column = i; column < i + 2; ++column) {
        sums[block][column] = sums[block][column + 2];
        if (block + 1 < kRowBlocks) sums[block][column + 2] = sums[min(block + 1, kRowBlocks - 1)][column];
      }
    }
  }
}

/// The producer's idle warps load the norms, so that consumers do not wait on L2: the products of a layer of 196 rows
/// took 47.4 µs with consumers loading them before their first product, and take 43.4 now.
inline constexpr int kNormThreads = 96;

template <typename Shape>
__device__ __forceinline__ void prepare_norms(const LinearOperands& operands, int rows, const TileOrder<Shape>& order,
                                              int first_tile, int tile_stride, LinearNormShared<Shape>& shared) {
  const int thread = static_cast<int>(threadIdx.x) - 32;
  const ClusterPlace<Shape> place;
  const auto copy_vectors = [&](int buffer, int first_column) {
#pragma unroll 1
    for (int i = thread; i < Shape::kColumns; i += kNormThreads) {
      const bool is_column = first_column + i < operands.columns;
      shared.u[buffer][i] = is_column ? __ldg(operands.norm.u + first_column + i) : 0;
      shared.v[buffer][i] = is_column ? __ldg(operands.norm.v + first_column + i) : 0;
    }
  };
  // Constant like the weights, and the buffers are empty: no wait is needed.
  const int first_column = place.column * Shape::kColumns;
  if (first_tile < order.count()) copy_vectors(0, order.at(first_tile).y + first_column);
  await_previous_kernels();
  const int width = load_statistics_width(operands.norm);
  for (int tile = first_tile, turn = 0; tile < order.count(); tile += tile_stride, ++turn) {
    const int buffer = turn % 2;
    const int2 first = order.at(tile);
    if (turn > 0) {
      barrier_wait(&shared.empty[buffer], turn / 2 % 2 ^ 1);
      copy_vectors(buffer, first.y + first_column);
    }
#pragma unroll 1
    for (int i = thread; i < Shape::kRows; i += kNormThreads) {
      const int row = min(first.x + place.row * Shape::kRows + i, rows - 1);
      const RowNorm norm = find_norm<Shape::kNormBatch>(operands.norm, row, operands.inner, width);
      shared.rows[buffer][i] = {norm.mean, norm.scale};
    }
    barrier_arrive(&shared.full[buffer]);
  }
}

template <typename Shape, typename Epilogue>
__device__ __forceinline__ void consume(const LinearOperands& operands, int rows, const TileOrder<Shape>& order,
                                        int steps, int first_tile, int tile_stride, int consumer,
                                        std::uint32_t x_shared, std::uint32_t weight_shared,
                                        LinearShared<Shape::kStages>& shared, LinearNormShared<Shape>& norms) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row_in_tile = consumer * Shape::kRowsApart + static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4;
  const int column_in_tile = consumer * Shape::kColumnsApart;
  const ClusterPlace<Shape> place;
  const std::uint64_t x_matrix =
      matrix_descriptor(x_shared + consumer * Shape::kRowsApart * Shape::kStepRowBytes, Shape::kStepRowBytes);
  const std::uint64_t weight_matrix =
      matrix_descriptor(weight_shared + column_in_tile * Shape::kStepRowBytes, Shape::kStepRowBytes);
  // Every block that copies into these buffers must know that they are free.
  const auto release = [&](int stage) {
    __syncwarp();
    if constexpr (Shape::kCluster == 1) {
      if (lane == 0) barrier_arrive(&shared.empty[stage]);
    } else {
      if (lane < Shape::kCopiers) barrier_arrive_in(&shared.empty[stage], place.copier(lane));
    }
  };
  RingPosition<Shape::kStages> at;
  // Turns also keep a consumer from testing a barrier before its phase: the other has waited for all previous phases.
  if (!Shape::kShare && consumer == 1) named_barrier_arrive(1, 256);
  // Of consumers that alternate, each computes every second tile, and passes over the stages of the others.
  constexpr int kTurns = Shape::kShare ? 1 : 2;
  if (!Shape::kShare && consumer == 1) at.advance_by(steps);
  for (int tile = first_tile + (Shape::kShare ? 0 : consumer * tile_stride), turn = 0; tile < order.count();
       tile += kTurns * tile_stride, ++turn) {
    int2 first = order.at(tile);
    first.x += place.row * Shape::kRows;
    first.y += place.column * Shape::kColumns + column_in_tile;
    float sums[Shape::kRowBlocks][Shape::kConsumerColumns / 2];
#pragma unroll
    for (int j = 0; j < Shape::kConsumerColumns / 8; ++j) {
      const float2 bias = Epilogue::kNorm ? float2{} : load_bias<true>(operands, first.y + 8 * j);
#pragma unroll
      for (int block = 0; block < Shape::kRowBlocks; ++block) {
        sums[block][4 * j] = sums[block][4 * j + 2] = bias.x;
        sums[block][4 * j + 1] = sums[block][4 * j + 3] = bias.y;
      }
    }
    if (!Shape::kShare) named_barrier_sync(1 + consumer, 256);
    int last_stage = 0;
#pragma unroll(Shape::kUnrolledSteps)
    for (int step = 0; step < steps; ++step) {
      barrier_wait(&shared.full[at.stage], at.parity);
      products_fence();
#pragma unroll
      for (int block = 0; block < Shape::kRowBlocks; ++block) pin_registers(sums[block]);
#pragma unroll
      for (int k = 0; k < Shape::kStep / 16; ++k) {
#pragma unroll
        for (int block = 0; block < Shape::kRowBlocks; ++block) {
          SharedProduct<Shape::kConsumerColumns>::add(
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
    // The lookup of a row's angles overlaps the last products, if registers are left.
    constexpr bool kLoop = kLoopsOverRows<Shape, Epilogue>;
    constexpr bool kTurnsLate = kLoop || Shape::kSums > 160;
    RowTurns turns[2 * Shape::kRowBlocks]{};
    if constexpr (Epilogue::kRotate && !kTurnsLate) {
#pragma unroll
      for (int i = 0; i < 2 * Shape::kRowBlocks; ++i) {
        const int row = first.x + row_in_tile + i / 2 * 64 + i % 2 * 8;
        turns[i] = find_turns(operands.rotation, row, row < rows);
      }
    }
    products_wait<0>();
#pragma unroll
    for (int block = 0; block < Shape::kRowBlocks; ++block) pin_registers(sums[block]);
    release(last_stage);
    const int buffer = Shape::kShare ? turn % 2 : consumer;
    if constexpr (Epilogue::kNorm) barrier_wait(&norms.full[buffer], Shape::kShare ? turn / 2 % 2 : turn % 2);
    // The sums of the thread's i-th row: two columns of each block of 8.
    const auto sum_of = [&](int i, int block_of_8, int column) -> float& {
      return sums[i / 2][4 * block_of_8 + i % 2 * 2 + column];
    };
    // In unrolled code two rows at once: ptxas would keep u and v in registers from the first row to the second.
    const auto normalize = [&]<int kRows>(std::integral_constant<int, kRows>, int i, int row) {
      float2 of_row[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) of_row[r] = load_in_order(&norms.rows[buffer][row + 8 * r].x);
#pragma unroll
      for (int j = 0; j < Shape::kConsumerColumns / 8; ++j) {
        const float2 u = load_in_order(&norms.u[buffer][column_in_tile + 8 * j + lane % 4 * 2]);
        const float2 v = load_in_order(&norms.v[buffer][column_in_tile + 8 * j + lane % 4 * 2]);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          float& left = sum_of(i + r, j, 0);
          float& right = sum_of(i + r, j, 1);
          left = (left - of_row[r].x * u.x) * of_row[r].y + v.x;
          right = (right - of_row[r].x * u.y) * of_row[r].y + v.y;
          // Compute these now, before the next two vectors are loaded.
          asm volatile("" : "+f"(left), "+f"(right));
        }
      }
    };
    const auto release_norms = [&] {
      __syncwarp();
      if (lane == 0) barrier_arrive(&norms.empty[buffer]);
    };
    if constexpr (Epilogue::kNorm && !kLoop) {
#pragma unroll
      for (int block = 0; block < Shape::kRowBlocks; ++block) {
        normalize(std::integral_constant<int, 2>(), 2 * block, row_in_tile + block * 64);
      }
      release_norms();
    }
    const auto finish = [&]<bool kTurn>() {
      // With 192 sums none is left to keep it in. With fewer it would cost one more, and 128x240 would spill.
      const int thread = Shape::kSums > 144 ? thread_again() : static_cast<int>(threadIdx.x);
      const int row_of_thread = consumer * Shape::kRowsApart + thread % 128 / 32 * 16 + thread % 32 / 4;
#pragma unroll(kLoop ? 1 : 2 * Shape::kRowBlocks)
      for (int i = 0; i < 2 * Shape::kRowBlocks; ++i) {
        const int row_of_tile = row_of_thread + i / 2 * 64 + i % 2 * 8;
        const int row = first.x + row_of_tile;
        // In a loop, registers have constant numbers: each row moves to those of the first.
        const int from = kLoop ? 0 : i;
        if constexpr (Epilogue::kNorm && kLoop) {
          normalize(std::integral_constant<int, 1>(), from, row_of_tile);
        }
        // If the tile has only half of a group of 32 columns, the rest is zero and not written.
        float of_row[divide_up(Shape::kConsumerColumns, 32)][8]{};
#pragma unroll
        for (int k = 0; k < Shape::kConsumerColumns / 4; ++k) of_row[k / 8][k % 8] = sum_of(from, k / 2, k % 2);
        finish_row<Epilogue::kActivation, true, kTurn, Epilogue::kResidual ? Shape::kResidualGroups : 0,
                   Epilogue::kStatistics ? Shape::kConsumerColumns : 0>(
            operands, row, row < rows, first.y, first.y + Shape::kConsumerColumns, of_row,
            kTurn && kTurnsLate ? find_turns(operands.rotation, row, row < rows) : turns[from]);
        if constexpr (kLoop) next_row(sums);
      }
    };
    if (Epilogue::kRotate && first.y < operands.rotation.columns) {
      finish.template operator()<Epilogue::kRotate>();
    } else {
      finish.template operator()<false>();
    }
    if constexpr (Epilogue::kNorm && kLoop) release_norms();
    if (!Shape::kShare) at.advance_by(steps);
  }
}

template <typename Shape, typename Epilogue>
__global__ void __cluster_dims__(Shape::kCluster) __launch_bounds__(Shape::kThreads, 1)
    linear_kernel(const __grid_constant__ LinearArguments arguments) {
  constexpr int kReleasingWarps = 4 * (Shape::kShare ? Shape::kConsumers : 1) * Shape::kCopiers;
  extern __shared__ __align__(1024) unsigned char tensors[];
  auto& shared = *reinterpret_cast<LinearShared<Shape::kStages>*>(tensors + Shape::kTensorBytes);
  auto& norms = *reinterpret_cast<LinearNormShared<Shape>*>(&shared + 1);
  // Counts are written before a run's first kernel, so they need no wait. Loaded while the barriers are initialised.
  const int rows = uniform(real_rows(arguments.operands.rows));
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Shape::kStages; ++stage) {
      barrier_init(&shared.full[stage], 1);
      barrier_init(&shared.empty[stage], kReleasingWarps);
    }
    if constexpr (Epilogue::kNorm) {
      for (int buffer = 0; buffer < 2; ++buffer) {
        barrier_init(&norms.full[buffer], kNormThreads);
        barrier_init(&norms.empty[buffer], 4 * (Shape::kShare ? Shape::kConsumers : 1));
      }
    }
    barrier_init_done();
    prefetch_tensor_map(&arguments.x);
    prefetch_tensor_map(&arguments.weight);
  }
  if constexpr (Shape::kCluster == 1) {
    __syncthreads();
  } else {
    cluster_arrive_after_init();
  }
  const TileOrder<Shape> order(rows, arguments.operands.columns);
  const int steps = divide_up(arguments.operands.inner, Shape::kStep);
  const int first_tile = static_cast<int>(blockIdx.x) / Shape::kCluster;
  const int tile_stride = static_cast<int>(gridDim.x) / Shape::kCluster;
  const std::uint32_t x_shared = shared_address(tensors);
  const std::uint32_t weight_shared = x_shared + Shape::kStages * Shape::kXBytes;
  // A single if/else: the compiler then gives each branch the registers that it requests.
  const int warpgroup = uniform(static_cast<int>(threadIdx.x) / 128);
  if (warpgroup == 0) {
    give_registers<Shape::producer_registers(Epilogue::kNorm)>();
    if constexpr (Shape::kCluster > 1) cluster_wait();
    if (threadIdx.x < 32 && is_elected()) {
      produce<Shape>(arguments, order, steps, first_tile, tile_stride, x_shared, weight_shared, shared);
    }
    if (Epilogue::kNorm && threadIdx.x >= 32)
      prepare_norms<Shape>(arguments.operands, rows, order, first_tile, tile_stride, norms);
    __syncwarp();
  } else {
    take_registers<Shape::consumer_registers(Epilogue::kNorm)>();
    if constexpr (Shape::kCluster > 1) cluster_wait();
    await_previous_kernels();
    if (Epilogue::kStatistics && blockIdx.x == 0 && threadIdx.x == 128) {
      write_statistics_width(arguments.operands, Shape::kConsumerColumns);
    }
    consume<Shape, Epilogue>(arguments.operands, rows, order, steps, first_tile, tile_stride, warpgroup - 1, x_shared,
                             weight_shared, shared, norms);
  }
}

}  // namespace vitgraph::kernels::sm90
