// y = activation(x · weightᵀ + bias) + residual, for compute capability 9.0.
//
// One warpgroup copies (producer), two compute (consumers). The blocks stay and walk over the tiles of the real rows. The
// consumers take alternate tiles: while one finishes its tile (bias, activation, residual, stores), the tensor cores work
// for the other. The order of tiles keeps a band of kBandTiles tiles of rows together, so that it and the weights it
// meets stay in L2.
//
// Template    kRowBlocks of 64 rows and kColumns of a tile; kStages of 64 along the inner dimension; kActivation.
// Grid        as many blocks as there are multiprocessors, at most one a tile of the capacity.
// Block       384 threads; registers move from the producer to the consumers.
// Shared      kStages of x and weight, rows of 128 bytes, swizzled.
// Assumes     columns and inner multiples of 8, rows at multiples of 16 bytes, bias at one of 4.
// Numerics    bf16 products with f32 sums; see linear_epilogue.cuh for the rest. The copy engine fills the inner
//             dimension and the columns up with zeros; rows beyond the real ones are computed and not written.
#pragma once

#include "kernels/common/linear_epilogue.cuh"
#include "kernels/sm90/common/tensor_copy.cuh"
#include "kernels/sm90/common/wgmma.cuh"

namespace vitgraph::kernels::sm90 {

template <int kRowBlocks_, int kColumns_, int kStages_>
struct LinearShape {
  static constexpr int kRowBlocks = kRowBlocks_;
  static constexpr int kRows = 64 * kRowBlocks;
  static constexpr int kColumns = kColumns_;
  static constexpr int kStages = kStages_;
  static constexpr int kThreads = 384;
  static constexpr int kStep = 64;
  static constexpr int kStepRowBytes = 128;
  static constexpr int kXBytes = kRows * kStepRowBytes;
  static constexpr int kWeightBytes = kColumns * kStepRowBytes;
  static constexpr int kTensorBytes = kStages * (kXBytes + kWeightBytes);
  static constexpr int kBandTiles = 16 / kRowBlocks;
  static constexpr int kProducerRegisters = 24;
  static constexpr int kConsumerRegisters = 240;
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

/// The tiles of the real rows, in the order in which they are computed.
template <typename Shape>
struct TileOrder {
  int row_tiles;
  int column_tiles;

  __device__ __forceinline__ TileOrder(int rows, int columns)
      : row_tiles(divide_up(rows, Shape::kRows)), column_tiles(divide_up(columns, Shape::kColumns)) {}

  __device__ __forceinline__ int count() const { return row_tiles * column_tiles; }

  /// First row and column of a tile: bands of rows, in a band column by column.
  __device__ __forceinline__ int2 at(int tile) const {
    const int band = tile / (Shape::kBandTiles * column_tiles);
    const int band_rows = min(Shape::kBandTiles, row_tiles - band * Shape::kBandTiles);
    const int in_band = tile - band * Shape::kBandTiles * column_tiles;
    const int column = in_band / band_rows;
    return {(band * Shape::kBandTiles + in_band - column * band_rows) * Shape::kRows, column * Shape::kColumns};
  }
};

template <typename Shape, Activation kActivation>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    linear_kernel(const __grid_constant__ LinearArguments arguments) {
  constexpr int kOwnerWarps = 4;
  const LinearOperands& operands = arguments.operands;
  extern __shared__ __align__(1024) unsigned char tensors[];
  auto& shared = *reinterpret_cast<LinearShared<Shape::kStages>*>(tensors + Shape::kTensorBytes);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Shape::kStages; ++stage) {
      barrier_init(&shared.full[stage], 1);
      barrier_init(&shared.empty[stage], kOwnerWarps);
    }
    barrier_init_done();
    prefetch_tensor_map(&arguments.x);
    prefetch_tensor_map(&arguments.weight);
  }
  __syncthreads();
  wait_for_previous_kernels();
  let_next_kernel_start();

  const int rows = uniform(real_rows(operands.rows));
  const TileOrder<Shape> order(rows, operands.columns);
  const int steps = divide_up(operands.inner, Shape::kStep);
  const std::uint32_t x_shared = shared_address(tensors);
  const std::uint32_t weight_shared = x_shared + Shape::kStages * Shape::kXBytes;
  const int warpgroup = uniform(static_cast<int>(threadIdx.x) / 128);
  RingPosition<Shape::kStages> at;

  if (warpgroup == 0) {
    give_registers<Shape::kProducerRegisters>();
    if (threadIdx.x >= 32 || !is_elected()) return;
    for (int tile = static_cast<int>(blockIdx.x); tile < order.count(); tile += static_cast<int>(gridDim.x)) {
      const int2 first = order.at(tile);
      for (int step = 0; step < steps; ++step) {
        barrier_wait(&shared.empty[at.stage], at.parity ^ 1);
        Barrier* full = &shared.full[at.stage];
        barrier_arrive_expecting(full, Shape::kXBytes + Shape::kWeightBytes);
        copy_box(x_shared + at.stage * Shape::kXBytes, &arguments.x, full, step * Shape::kStep, first.x);
        copy_box(weight_shared + at.stage * Shape::kWeightBytes, &arguments.weight, full, step * Shape::kStep, first.y);
        at.advance();
      }
    }
  } else {
    take_registers<Shape::kConsumerRegisters>();
    const int consumer = warpgroup - 1;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const std::uint64_t x_matrix = matrix_descriptor(x_shared, Shape::kStepRowBytes);
    const std::uint64_t weight_matrix = matrix_descriptor(weight_shared, Shape::kStepRowBytes);
    const auto release = [&](int stage) {
      __syncwarp();
      if (lane == 0) barrier_arrive(&shared.empty[stage]);
    };
    // Turns also keep a consumer from looking at a barrier before its phase: the other has seen all phases before.
    if (consumer == 1) named_barrier_arrive(1, 256);
    for (int tile = static_cast<int>(blockIdx.x), turn = 0; tile < order.count();
         tile += static_cast<int>(gridDim.x), turn ^= 1) {
      if (turn != consumer) {
        at.advance_by(steps);
        continue;
      }
      float sums[Shape::kRowBlocks][Shape::kColumns / 2];
      named_barrier_sync(1 + consumer, 256);
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
                moved(weight_matrix, at.stage * Shape::kWeightBytes + k * 32), step > 0 || k > 0);
          }
        }
        products_commit();
        products_wait<1>();
        if (step > 0) release(last_stage);
        last_stage = at.stage;
        at.advance();
      }
      named_barrier_arrive(2 - consumer, 256);
      products_wait<0>();
#pragma unroll
      for (int block = 0; block < Shape::kRowBlocks; ++block) pin_registers(sums[block]);
      release(last_stage);

      const int2 first = order.at(tile);
      const int first_row = first.x + static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4;
#pragma unroll
      for (int group = 0; group < Shape::kColumns / 32; ++group) {
        const int column = first.y + group * 32;
        float bias[8];
        load_bias<true>(operands, column, bias);
#pragma unroll
        for (int block = 0; block < Shape::kRowBlocks; ++block) {
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int row = first_row + block * 64 + half * 8;
            float of_row[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) of_row[i] = sums[block][16 * group + i / 2 * 4 + 2 * half + i % 2];
            finish_columns<kActivation, true>(operands, row, row < rows, column, of_row, bias);
          }
        }
      }
    }
  }
}

}  // namespace vitgraph::kernels::sm90
