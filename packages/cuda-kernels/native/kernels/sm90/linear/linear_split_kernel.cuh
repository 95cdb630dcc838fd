// y = activation(x · weightᵀ + bias) + residual, or its rotation, for compute capability 9.0 and few rows.
//
// With few rows there are fewer tiles than multiprocessors, or tiles so small that L2 delivers the same rows over and over.
// Here the blocks of a cluster share a tile's inner dimension: each computes the products of its part, leaves its sums in
// its own shared memory, and then finishes a part of the tile from the sums of all of them. The sums are added in the order
// of the blocks, so a result does not depend on which block was first.
//
// A block takes half of a multiprocessor, so that one of the next kernel fits beside it: its barriers are ready and its
// first weights are there before the products that it reads from are.
//
// Template    LinearSplitShape.
// Grid        kSplit blocks a tile of the capacity; clusters beyond the real rows leave at once.
// Block       128 · (1 + kConsumers) threads: one warpgroup copies (producer), the others compute (consumers).
// Shared      kStages of x and weight, 64 columns each: rows of 128 bytes, swizzled; then the sums in their place.
// Assumes     columns and inner multiples of 8, rows at multiples of 16 bytes, bias at one of 4.
// Numerics    bf16 products with f32 sums; the bias and the blocks' sums are added in f32. See linear_epilogue.cuh for the
//             rest.
#pragma once

#include "kernels/sm90/linear/linear_kernel.cuh"

namespace vitgraph::kernels::sm90 {

/// kConsumers of kRowBlocks · 64 rows by kColumns share a tile; kBlocks fit on a multiprocessor.
template <int kConsumers_, int kRowBlocks_, int kColumns_, int kStages_, int kSplit_, int kBlocks_>
struct LinearSplitShape {
  static constexpr int kConsumers = kConsumers_;
  static constexpr int kRowBlocks = kRowBlocks_;
  static constexpr int kConsumerRows = 64 * kRowBlocks;
  static constexpr int kRows = kConsumers * kConsumerRows;
  static constexpr int kColumns = kColumns_;
  static constexpr int kStages = kStages_;
  static constexpr int kSplit = kSplit_;
  static constexpr int kBlocks = kBlocks_;
  static constexpr int kThreads = 128 * (1 + kConsumers);
  static constexpr int kConsumerThreads = 128 * kConsumers;
  static constexpr int kStep = 64;
  static constexpr int kStepRowBytes = 128;
  static constexpr int kXBytes = kRows * kStepRowBytes;
  static constexpr int kWeightBytes = kColumns * kStepRowBytes;
  static constexpr int kTensorBytes = kStages * (kXBytes + kWeightBytes);
  /// The pieces in which a tile is finished: 32 columns of one of a thread's rows, 8 sums a thread.
  static constexpr int kPieces = kColumns / 32 * 2 * kRowBlocks;
  static constexpr int kPieceBytes = kConsumerThreads * 32;
  static_assert(kTensorBytes >= kPieces * kPieceBytes);
  /// Pieces whose sums a thread fetches at once: 64 registers.
  static constexpr int kFetchedPieces = kSplit >= 8 ? 1 : 8 / kSplit;
  static constexpr int kProducerRegisters = 40;
  static constexpr int kConsumerRegisters = kConsumers == 2 ? 232 : 208;
};

/// The same 16 bytes of shared memory in a block of the cluster.
__device__ __forceinline__ float4 load_from_block(std::uint32_t address, int block) {
  float4 values;
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %4, %5;\n"
      "ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [there];\n"
      "}"
      : "=f"(values.x), "=f"(values.y), "=f"(values.z), "=f"(values.w)
      : "r"(address), "r"(block)
      : "memory");
  return values;
}

template <typename Shape>
__device__ __forceinline__ void produce_part(const LinearArguments& arguments, int2 first, int first_step, int steps,
                                             std::uint32_t x_shared, std::uint32_t weight_shared,
                                             LinearShared<Shape::kStages>& shared) {
  const auto copy_weight = [&](int stage, int step) {
    barrier_arrive_expecting(&shared.full[stage], Shape::kXBytes + Shape::kWeightBytes);
    copy_box(weight_shared + stage * Shape::kWeightBytes, &arguments.weight, &shared.full[stage],
             (first_step + step) * Shape::kStep, first.y);
  };
  // Weights never change, and the ring is empty.
  const int ahead = min(steps, Shape::kStages);
  for (int step = 0; step < ahead; ++step) copy_weight(step, step);
  await_previous_kernels();
  RingPosition<Shape::kStages> at;
  for (int step = 0; step < steps; ++step) {
    if (step >= ahead) {
      barrier_wait(&shared.empty[at.stage], at.parity ^ 1);
      copy_weight(at.stage, step);
    }
    copy_box(x_shared + at.stage * Shape::kXBytes, &arguments.x, &shared.full[at.stage],
             (first_step + step) * Shape::kStep, first.x);
    at.advance();
  }
}

/// Where a piece of the tile stands: a row of this thread's, and the first of 32 columns.
template <typename Shape>
__device__ __forceinline__ int2 piece_at(int piece, int2 first, int consumer) {
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int half = piece % 2;
  const int block = piece / 2 % Shape::kRowBlocks;
  const int group = piece / 2 / Shape::kRowBlocks;
  return {first.x + consumer * Shape::kConsumerRows + block * 64 + thread / 32 * 16 + half * 8 + thread % 32 / 4,
          first.y + group * 32};
}

/// Leaves the sums of this block's part of the inner dimension where the ring was: piece by piece, 16 bytes a thread.
template <typename Shape>
__device__ __forceinline__ void consume_part(int steps, int consumer, std::uint32_t x_shared,
                                             std::uint32_t weight_shared, LinearShared<Shape::kStages>& shared) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::uint64_t x_matrix =
      matrix_descriptor(x_shared + consumer * Shape::kConsumerRows * Shape::kStepRowBytes, Shape::kStepRowBytes);
  const std::uint64_t weight_matrix = matrix_descriptor(weight_shared, Shape::kStepRowBytes);
  const auto release = [&](int stage) {
    __syncwarp();
    if (lane == 0) barrier_arrive(&shared.empty[stage]);
  };
  float sums[Shape::kRowBlocks][Shape::kColumns / 2] = {};
  RingPosition<Shape::kStages> at;
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
  products_wait<0>();
#pragma unroll
  for (int block = 0; block < Shape::kRowBlocks; ++block) pin_registers(sums[block]);
  // The products of the others may still be reading what is overwritten here.
  named_barrier_sync(1, Shape::kConsumerThreads);
  const std::uint32_t own = x_shared + (static_cast<int>(threadIdx.x) - 128) * 16;
#pragma unroll
  for (int piece = 0; piece < Shape::kPieces; ++piece) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float* of_piece = sums[piece / 2 % Shape::kRowBlocks] + piece / 2 / Shape::kRowBlocks * 16 + 8 * i + piece % 2 * 2;
      asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(own + piece * Shape::kPieceBytes +
                                                                    i * Shape::kPieceBytes / 2),
                   "f"(of_piece[0]), "f"(of_piece[1]), "f"(of_piece[4]), "f"(of_piece[5])
                   : "memory");
    }
  }
}

/// Every kSplit-th piece, from this block's rank on.
template <typename Shape>
__device__ __forceinline__ void finish_part(const LinearOperands& operands, Activation activation, int rows, int2 first,
                                            int rank, int consumer, std::uint32_t sums_shared) {
  const std::uint32_t own = sums_shared + (static_cast<int>(threadIdx.x) - 128) * 16;
  for (int first_piece = rank; first_piece < Shape::kPieces; first_piece += Shape::kFetchedPieces * Shape::kSplit) {
    float4 parts[Shape::kFetchedPieces][Shape::kSplit][2];
#pragma unroll
    for (int i = 0; i < Shape::kFetchedPieces; ++i) {
      const int piece = min(first_piece + i * Shape::kSplit, Shape::kPieces - 1);
#pragma unroll
      for (int block = 0; block < Shape::kSplit; ++block) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          parts[i][block][j] = load_from_block(own + piece * Shape::kPieceBytes + j * Shape::kPieceBytes / 2, block);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < Shape::kFetchedPieces; ++i) {
      const int piece = first_piece + i * Shape::kSplit;
      if (piece >= Shape::kPieces) break;
      const int2 at = piece_at<Shape>(piece, first, consumer);
      float sums[1][8];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float2 bias = load_bias<true>(operands, at.y + 8 * j);
        sums[0][2 * j] = bias.x;
        sums[0][2 * j + 1] = bias.y;
      }
#pragma unroll
      for (int block = 0; block < Shape::kSplit; ++block) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          sums[0][4 * j] += parts[i][block][j].x;
          sums[0][4 * j + 1] += parts[i][block][j].y;
          sums[0][4 * j + 2] += parts[i][block][j].z;
          sums[0][4 * j + 3] += parts[i][block][j].w;
        }
      }
      if (operands.rotation.angles.data != nullptr) rotate_row(operands.rotation, at.x, at.x < rows, at.y, sums);
#pragma unroll
      for (float& sum : sums[0]) sum = activate(activation, sum);
      finish_row<Activation::none, true>(operands, at.x, at.x < rows, at.y, sums);
    }
  }
}

template <typename Shape>
__global__ void __cluster_dims__(Shape::kSplit) __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    linear_split_kernel(const __grid_constant__ LinearArguments arguments, Activation activation) {
  extern __shared__ __align__(1024) unsigned char tensors[];
  auto& shared = *reinterpret_cast<LinearShared<Shape::kStages>*>(tensors + Shape::kTensorBytes);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Shape::kStages; ++stage) {
      barrier_init(&shared.full[stage], 1);
      barrier_init(&shared.empty[stage], 4 * Shape::kConsumers);
    }
    barrier_init_done();
    prefetch_tensor_map(&arguments.x);
    prefetch_tensor_map(&arguments.weight);
  }
  __syncthreads();
  const LinearOperands& operands = arguments.operands;
  // Counts are written before the first kernel of a run, so they need no waiting for. Row tiles come first, so that blocks
  // with the same weights run at the same time.
  const int rows = uniform(real_rows(operands.rows));
  const int row_tiles = divide_up(rows, Shape::kRows);
  const int tile = static_cast<int>(blockIdx.x) / Shape::kSplit;
  if (tile >= row_tiles * divide_up(operands.columns, Shape::kColumns)) {
    // A kernel ends when its blocks have, so even one without rows must not end before those that it follows.
    await_previous_kernels();
    return;
  }
  const int column_tile = tile / row_tiles;
  const int2 first{(tile - column_tile * row_tiles) * Shape::kRows, column_tile * Shape::kColumns};
  const int rank = uniform(Shape::kSplit == 1 ? 0 : cluster_rank());
  const int all_steps = divide_up(operands.inner, Shape::kStep);
  const int first_step = all_steps * rank / Shape::kSplit;
  const int steps = all_steps * (rank + 1) / Shape::kSplit - first_step;
  const std::uint32_t x_shared = shared_address(tensors);
  const std::uint32_t weight_shared = x_shared + Shape::kStages * Shape::kXBytes;
  // One if and else: the compiler gives each branch the registers that it asks for.
  const int warpgroup = uniform(static_cast<int>(threadIdx.x) / 128);
  if (warpgroup == 0) {
    give_registers<Shape::kProducerRegisters>();
    if (threadIdx.x < 32 && is_elected()) {
      produce_part<Shape>(arguments, first, first_step, steps, x_shared, weight_shared, shared);
    }
    __syncwarp();
    cluster_sync();
  } else {
    take_registers<Shape::kConsumerRegisters>();
    await_previous_kernels();
    consume_part<Shape>(steps, warpgroup - 1, x_shared, weight_shared, shared);
    cluster_sync();
    finish_part<Shape>(operands, activation, rows, first, rank, warpgroup - 1, x_shared);
  }
  // A block's sums must outlive their last reader.
  cluster_sync();
}

}  // namespace vitgraph::kernels::sm90
