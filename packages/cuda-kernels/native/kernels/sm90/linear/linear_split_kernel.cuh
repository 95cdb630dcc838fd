// y = activation(x · weightᵀ + bias) + residual, or its rotation, for compute capability 9.0 and few rows.
//
// Split-K over a cluster. With few rows there are fewer tiles than SMs, or tiles so small that L2 delivers the same
// rows repeatedly. Each block of the cluster computes the products of its part of the inner dimension, then finishes a
// part of the tile, for which the others send it their sums. Sums are added in block order, so the result is
// deterministic. A cluster may compute two tiles of the same columns: their blocks of one part then share the weights,
// as in linear_kernel.cuh.
//
// Sums are sent through distributed shared memory by asynchronous stores that count towards the receiver's mbarrier,
// like TMA's bytes. A cluster barrier would work too, but its release waits for all memory, which takes longer.
//
// Template    LinearSplitShape; LinearEpilogue, whose activation is chosen by a branch.
// Grid        a cluster per kClusterRows tiles of the capacity; clusters beyond the real rows exit at once.
// Block       128 · (1 + kConsumers) threads: one producer warpgroup copies, the consumer warpgroups compute.
// Shared      kStages of x and weight, 64 columns each: rows of 128 bytes, swizzled; the sums from other blocks.
// Assumes     columns a multiple of 8; rows aligned to 16 bytes, bias to 4.
// Numerics    bf16 products with f32 sums; bias and the blocks' sums are added in f32; else as in linear_epilogue.cuh.
#pragma once

#include "kernels/sm90/linear/linear_kernel.cuh"

namespace vitgraph::kernels::sm90 {

/// A tile is shared by kConsumers of kRowBlocks · 64 rows × kColumns each. A cluster computes kClusterRows tiles of the
/// same columns, with kSplit blocks per tile.
template <int kConsumers_, int kRowBlocks_, int kColumns_, int kStages_, int kSplit_, int kClusterRows_>
struct LinearSplitShape {
  static constexpr int kConsumers = kConsumers_;
  static constexpr int kRowBlocks = kRowBlocks_;
  static constexpr int kConsumerRows = 64 * kRowBlocks;
  static constexpr int kRows = kConsumers * kConsumerRows;
  static constexpr int kColumns = kColumns_;
  static constexpr int kStages = kStages_;
  static constexpr int kSplit = kSplit_;
  static constexpr int kClusterRows = kClusterRows_;
  /// ClusterPlace: a block's column is its part of the inner dimension.
  static constexpr int kClusterColumns = kSplit;
  static constexpr int kCluster = kClusterRows * kClusterColumns;
  static constexpr int kThreads = 128 * (1 + kConsumers);
  static constexpr int kStep = 64;
  static constexpr int kStepRowBytes = 128;
  static constexpr int kXBytes = kRows * kStepRowBytes;
  static constexpr int kWeightBytes = kColumns * kStepRowBytes;
  static constexpr int kTensorBytes = kStages * (kXBytes + kWeightBytes);
  /// Pieces of a tile: 32 columns of one of a thread's rows, 8 sums per thread. Numbered row by row; a block finishes
  /// consecutive ones.
  static_assert(kColumns % 32 == 0);
  static constexpr int kRowPieces = kColumns / 32;
  static constexpr int kPieces = kRowPieces * 2 * kRowBlocks;
  static constexpr int kOwnPieces = divide_up(kPieces, kSplit);
  /// Pieces finished at once: all that a block finishes, if they are of one row.
  static constexpr int kJoinedPieces = kPieces % kSplit == 0 && kRowPieces % kOwnPieces == 0 ? kOwnPieces : 1;
  static constexpr int kJoinedColumns = 32 * kJoinedPieces;
  /// As in LinearShape.
  static constexpr int kUnrolledSteps = kRowBlocks * kColumns / 2 > 64 ? 1 : 2;
  static constexpr int kPieceBytes = 128 * kConsumers * 32;
  static constexpr int kReceivedBytes = (kSplit - 1) * kOwnPieces * kPieceBytes;
  static constexpr int kProducerRegisters = 40;
  static constexpr int kConsumerRegisters = 232;

  /// The first piece that the block of a part finishes, and the part whose block finishes a piece.
  static __host__ __device__ constexpr int first_piece(int part) { return divide_up(part * kPieces, kSplit); }
  static __host__ __device__ constexpr int owner(int piece) { return piece * kSplit / kPieces; }
};

/// The part of shared memory after the tensors and the received sums.
template <int kStages>
struct LinearSplitShared {
  LinearShared<kStages> ring;
  Barrier received;
};

template <typename Shape>
constexpr std::size_t linear_split_shared_bytes() {
  return Shape::kTensorBytes + Shape::kReceivedBytes + sizeof(LinearSplitShared<Shape::kStages>);
}

/// Stores 16 bytes in another block of the cluster; they count towards its mbarrier.
__device__ __forceinline__ void send(std::uint32_t to, Barrier* barrier, int block, float4 values) {
  asm volatile(
      "{\n"
      ".reg .b32 there, barrier;\n"
      "mapa.shared::cluster.u32 there, %0, %2;\n"
      "mapa.shared::cluster.u32 barrier, %1, %2;\n"
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [there], {%3, %4, %5, %6}, [barrier];\n"
      "}" ::"r"(to),
      "r"(shared_address(barrier)), "r"(block), "f"(values.x), "f"(values.y), "f"(values.z), "f"(values.w)
      : "memory");
}

template <typename Shape>
__device__ __forceinline__ void produce_part(const LinearArguments& arguments, const ClusterPlace<Shape>& place,
                                             int2 first, int first_step, int steps, std::uint32_t x_shared,
                                             std::uint32_t weight_shared, LinearShared<Shape::kStages>& shared) {
  constexpr int kWeightPart = Shape::kColumns / Shape::kClusterRows;
  const std::uint16_t mask = place.column_mask();
  const auto copy_weight = [&](int stage, int step) {
    barrier_arrive_expecting(&shared.full[stage], Shape::kXBytes + Shape::kWeightBytes);
    const std::uint32_t to = weight_shared + stage * Shape::kWeightBytes;
    const int from = (first_step + step) * Shape::kStep;
    if constexpr (Shape::kClusterRows == 1) {
      copy_box(to, &arguments.weight, &shared.full[stage], from, first.y);
    } else {
      copy_box_to_blocks(to + place.row * kWeightPart * Shape::kStepRowBytes, &arguments.weight, &shared.full[stage],
                         from, first.y + place.row * kWeightPart, mask);
    }
  };
  // Prefetch weights: they never change, and the ring is empty.
  const int ahead = min(steps, Shape::kStages);
#pragma unroll(Shape::kUnrolledSteps)
  for (int step = 0; step < ahead; ++step) copy_weight(step, step);
  await_previous_kernels();
  RingPosition<Shape::kStages> at;
#pragma unroll(Shape::kUnrolledSteps)
  for (int step = 0; step < steps; ++step) {
    if (step >= ahead) {
      barrier_wait(&shared.empty[at.stage], at.parity ^ 1);
      copy_weight(at.stage, step);
    }
    copy_box(x_shared + at.stage * Shape::kXBytes, &arguments.x, &shared.full[at.stage],
             (first_step + step) * Shape::kStep, first.x);
    at.advance();
  }
  if constexpr (Shape::kClusterRows > 1) await_releases(shared, at);
}

/// A piece's row and first column, for this thread.
template <typename Shape>
__device__ __forceinline__ int2 piece_at(int piece, int2 first, int consumer) {
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int row = piece / Shape::kRowPieces;
  return {first.x + consumer * Shape::kConsumerRows + row / 2 * 64 + thread / 32 * 16 + row % 2 * 8 + thread % 32 / 4,
          first.y + piece % Shape::kRowPieces * 32};
}

/// Computes this block's part of the inner dimension, sends the other blocks' pieces, and finishes its own.
template <typename Shape, typename Epilogue>
__device__ __forceinline__ void consume_part(const LinearOperands& operands, Activation activation, int rows,
                                             const ClusterPlace<Shape>& place, int2 first, int steps, int consumer,
                                             std::uint32_t x_shared, std::uint32_t weight_shared,
                                             std::uint32_t received_shared,
                                             LinearSplitShared<Shape::kStages>& shared) {
  const int thread = static_cast<int>(threadIdx.x) - 128;
  const int lane = thread % 32;
  const std::uint64_t x_matrix =
      matrix_descriptor(x_shared + consumer * Shape::kConsumerRows * Shape::kStepRowBytes, Shape::kStepRowBytes);
  const std::uint64_t weight_matrix = matrix_descriptor(weight_shared, Shape::kStepRowBytes);
  // Every block that copies into these buffers must know that they are free.
  const auto release = [&](int stage) {
    __syncwarp();
    if constexpr (Shape::kClusterRows == 1) {
      if (lane == 0) barrier_arrive(&shared.ring.empty[stage]);
    } else {
      if (lane < Shape::kClusterRows) barrier_arrive_in(&shared.ring.empty[stage], place.rank_of(lane, place.column));
    }
  };
  float sums[Shape::kRowBlocks][Shape::kColumns / 2] = {};
  RingPosition<Shape::kStages> at;
  int last_stage = 0;
#pragma unroll(Shape::kUnrolledSteps)
  for (int step = 0; step < steps; ++step) {
    barrier_wait(&shared.ring.full[at.stage], at.parity);
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
  // For the blocks that wait until their copies are released.
  if (Shape::kClusterRows > 1 && steps > 0) release(last_stage);

  // Slot of a block's sums in the receiver: by sender (without the receiver), piece, half and thread.
  const auto slot = [&](int from, int receiver, int own_piece, int i) {
    return received_shared + ((from - (from > receiver)) * Shape::kOwnPieces + own_piece) * Shape::kPieceBytes +
           i * Shape::kPieceBytes / 2 + thread * 16;
  };
  float4 own[Shape::kOwnPieces][2] = {};
#pragma unroll
  for (int piece = 0; piece < Shape::kPieces; ++piece) {
    const int owner = Shape::owner(piece);
    const int own_piece = piece - Shape::first_piece(owner);
    const int row = piece / Shape::kRowPieces;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float* of_piece = sums[row / 2] + piece % Shape::kRowPieces * 16 + 8 * i + row % 2 * 2;
      const float4 values{of_piece[0], of_piece[1], of_piece[4], of_piece[5]};
      if (owner == place.column) {
        own[own_piece][i] = values;
      } else {
        send(slot(place.column, owner, own_piece, i), &shared.received, place.rank_of(place.row, owner), values);
      }
    }
  }
  // A lane may load the same row twice: pieces are few, and the other blocks' sums are in flight.
  constexpr int kFinishes = Shape::kOwnPieces / Shape::kJoinedPieces;
  const int first_piece = Shape::first_piece(place.column);
  RowNorm norms[kFinishes]{};
  if constexpr (Epilogue::kNorm) {
    const int width = load_statistics_width(operands.norm);
#pragma unroll
    for (int i = 0; i < kFinishes; ++i) {
      const int row = piece_at<Shape>(first_piece + i * Shape::kJoinedPieces, first, consumer).x;
      norms[i] = find_norm<9>(operands.norm, min(row, rows - 1), operands.inner, width);
    }
  }
  barrier_wait_for_cluster(&shared.received, 0);
#pragma unroll
  for (int i = 0; i < kFinishes; ++i) {
    const int piece = first_piece + i * Shape::kJoinedPieces;
    if (piece >= Shape::first_piece(place.column + 1)) break;
    const int2 at = piece_at<Shape>(piece, first, consumer);
    float finished[Shape::kJoinedPieces][8];
#pragma unroll
    for (int joined = 0; joined < Shape::kJoinedPieces; ++joined) {
      const int own_piece = i * Shape::kJoinedPieces + joined;
      const int column = at.y + 32 * joined;
      float* of_piece = finished[joined];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float2 from = Epilogue::kNorm ? float2{} : load_bias<true>(operands, column + 8 * j);
        of_piece[2 * j] = from.x;
        of_piece[2 * j + 1] = from.y;
      }
#pragma unroll
      for (int from = 0; from < Shape::kSplit; ++from) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          float4 values = own[own_piece][j];
          if (from != place.column) {
            asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                         : "=f"(values.x), "=f"(values.y), "=f"(values.z), "=f"(values.w)
                         : "r"(slot(from, place.column, own_piece, j)));
          }
          of_piece[4 * j] += values.x;
          of_piece[4 * j + 1] += values.y;
          of_piece[4 * j + 2] += values.z;
          of_piece[4 * j + 3] += values.w;
        }
      }
      if constexpr (Epilogue::kNorm) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const float2 u = load_norm_vector(operands.norm.u, column + 8 * j, operands.columns);
          const float2 v = load_norm_vector(operands.norm.v, column + 8 * j, operands.columns);
          of_piece[2 * j] = (of_piece[2 * j] - norms[i].mean * u.x) * norms[i].scale + v.x;
          of_piece[2 * j + 1] = (of_piece[2 * j + 1] - norms[i].mean * u.y) * norms[i].scale + v.y;
        }
      }
#pragma unroll
      for (int j = 0; j < 8; ++j) of_piece[j] = activate(activation, of_piece[j]);
    }
    const RowTurns turns = Epilogue::kRotate ? find_turns(operands.rotation, at.x, at.x < rows) : RowTurns{};
    finish_row<Activation::none, true, Epilogue::kRotate, 8, Epilogue::kStatistics ? Shape::kJoinedColumns : 0>(
        operands, at.x, at.x < rows, at.y, at.y + Shape::kJoinedColumns, finished, turns);
  }
}

template <typename Shape, typename Epilogue>
__global__ void __cluster_dims__(Shape::kCluster) __launch_bounds__(Shape::kThreads, 1)
    linear_split_kernel(const __grid_constant__ LinearArguments arguments, Activation activation) {
  extern __shared__ __align__(1024) unsigned char tensors[];
  auto& shared =
      *reinterpret_cast<LinearSplitShared<Shape::kStages>*>(tensors + Shape::kTensorBytes + Shape::kReceivedBytes);
  const ClusterPlace<Shape> place(uniform(cluster_rank()));
  // Counts are written before a run's first kernel, so no wait is needed.
  const int rows = uniform(real_rows(arguments.operands.rows));
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Shape::kStages; ++stage) {
      barrier_init(&shared.ring.full[stage], 1);
      barrier_init(&shared.ring.empty[stage], 4 * Shape::kConsumers * Shape::kClusterRows);
    }
    barrier_init(&shared.received, 1);
    barrier_init_done();
    const int own_pieces = Shape::first_piece(place.column + 1) - Shape::first_piece(place.column);
    barrier_arrive_expecting(&shared.received, (Shape::kSplit - 1) * own_pieces * Shape::kPieceBytes);
    prefetch_tensor_map(&arguments.x);
    prefetch_tensor_map(&arguments.weight);
  }
  __syncthreads();
  const LinearOperands& operands = arguments.operands;
  // Row tiles come first, so that blocks with the same weights run at the same time.
  const int row_tiles = divide_up(rows, Shape::kRows * Shape::kClusterRows);
  const int tile = static_cast<int>(blockIdx.x) / Shape::kCluster;
  if (tile >= row_tiles * divide_up(operands.columns, Shape::kColumns)) {
    // A kernel completes when its blocks exit, so even one without rows must not complete before its predecessors.
    await_previous_kernels();
    return;
  }
  // Other blocks may copy and send only after the mbarriers are initialised.
  cluster_arrive_after_init();
  const int column_tile = tile / row_tiles;
  const int2 first{((tile - column_tile * row_tiles) * Shape::kClusterRows + place.row) * Shape::kRows,
                   column_tile * Shape::kColumns};
  const int all_steps = divide_up(operands.inner, Shape::kStep);
  const int first_step = all_steps * place.column / Shape::kSplit;
  const int steps = all_steps * (place.column + 1) / Shape::kSplit - first_step;
  const std::uint32_t x_shared = shared_address(tensors);
  const std::uint32_t weight_shared = x_shared + Shape::kStages * Shape::kXBytes;
  // A single if/else: the compiler then gives each branch the registers that it requests.
  const int warpgroup = uniform(static_cast<int>(threadIdx.x) / 128);
  if (warpgroup == 0) {
    give_registers<Shape::kProducerRegisters>();
    if constexpr (Shape::kClusterRows > 1) cluster_wait();
    if (threadIdx.x < 32 && is_elected()) {
      produce_part<Shape>(arguments, place, first, first_step, steps, x_shared, weight_shared, shared.ring);
    }
    __syncwarp();
    if constexpr (Shape::kClusterRows == 1) cluster_wait();
  } else {
    take_registers<Shape::kConsumerRegisters>();
    cluster_wait();
    await_previous_kernels();
    if (Epilogue::kStatistics && blockIdx.x == 0 && threadIdx.x == 128) {
      write_statistics_width(operands, Shape::kJoinedColumns);
    }
    consume_part<Shape, Epilogue>(operands, activation, rows, place, first, steps, warpgroup - 1, x_shared,
                                  weight_shared, x_shared + Shape::kTensorBytes, shared);
  }
}

}  // namespace vitgraph::kernels::sm90
