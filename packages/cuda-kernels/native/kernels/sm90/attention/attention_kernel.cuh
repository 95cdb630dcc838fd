// Varlen attention for compute capability 9.0: y = softmax(q · kᵀ · scale) · v, head by head, segment by segment.
//
// One warpgroup copies (producer), the others compute (consumers), 64 query rows each. The blocks stay: each takes the
// next (tile, head) from a counter until there is none. Consumers walk over the keys from the last block to the first,
// so that only the first step masks. A step starts the product of Q with the next keys and that of the last weights with
// their values, and computes the softmax of the former while the latter runs. With kInTurn the consumers start their
// products in turn, so that the tensor cores work for one while the others compute exponentials.
//
// Template    kHeadSize, a multiple of 8; kWarpgroups of consumers; kKeyRows in one step; kStages of K and of V;
//             kInTurn; kPolynomialTiles: of 8 column tiles of weights, how many are computed by a polynomial instead of
//             the exponential unit, which is the narrowest unit here.
// Grid        as many blocks as fit on the device at once, at most one a (tile, head) of the capacity.
// Block       128 · (1 + kWarpgroups) threads; registers move from the producer to the consumers.
// Shared      Q of the tile, kStages of K and of V, in parts of 64 columns and a rest, swizzled. The copy engine fills
//             columns beyond the head with zeros (72 = 64 + 8), so the first product runs over 80 columns; the second
//             takes exactly 72. Nothing is rounded up in global memory.
// Assumes     q, k and v at multiples of 16 bytes, y at multiples of 4; the tile table lies inside the buffers.
// Numerics    bf16 products with f32 sums; the softmax in f32, with exp2 and the scale folded into it; its weights are
//             rounded to bf16 before the second product, and the sum of weights is taken before that rounding. The
//             polynomial is within 7.5e-5, a twenty-fifth of that rounding.
//             Rows that follow a segment (another's, or stale ones) are read by the boxes. As keys they are masked; as
//             values they are overwritten with zeros in shared memory, since a weight of zero would not silence a NaN.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/sm90/attention/attention.h"
#include "kernels/sm90/common/tensor_copy.cuh"
#include "kernels/sm90/common/wgmma.cuh"

namespace vitgraph::kernels::sm90 {

template <int kHeadSize_, int kWarpgroups_, int kKeyRows_, int kStages_ = 2, bool kInTurn_ = true,
          int kPolynomialTiles_ = 0>
struct AttentionShape {
  static constexpr int kHeadSize = kHeadSize_;
  static constexpr int kWarpgroups = kWarpgroups_;
  static constexpr int kKeyRows = kKeyRows_;
  static constexpr int kStages = kStages_;
  static constexpr bool kInTurn = kInTurn_ && kWarpgroups > 1;
  static constexpr int kPolynomialTiles = kPolynomialTiles_;
  static constexpr int kTileRows = 64 * kWarpgroups;
  static constexpr int kThreads = 128 * (1 + kWarpgroups);
  /// Two small blocks on a multiprocessor hide each other's start and end.
  static constexpr int kBlocks = kWarpgroups == 1 ? 2 : 1;
  static constexpr int kProducerRegisters = kWarpgroups == 1 ? 40 : kWarpgroups == 2 ? 24 : 32;
  static constexpr int kConsumerRegisters = kWarpgroups == 1 ? 216 : kWarpgroups == 2 ? 240 : 160;
  /// Q and K: parts of 64 columns, rows of 128 bytes; then the rest of the head in shorter rows.
  static constexpr int kFullParts = kHeadSize / 64;
  static constexpr int kRestColumns = kHeadSize % 64;
  static constexpr int kRestRowBytes = kRestColumns == 0 ? 0 : kRestColumns <= 16 ? 32 : 64;
  static constexpr int kRowBytes = kFullParts * 128 + kRestRowBytes;
  static constexpr int kQueryBytes = kTileRows * kRowBytes;
  static constexpr int kKeyBytes = kKeyRows * kRowBytes;
  /// V: whole rows of 128 bytes, since one product must reach over all columns.
  static constexpr int kValueParts = divide_up(kHeadSize, 64);
  static constexpr int kValuePartBytes = kKeyRows * 128;
  static constexpr int kValueBytes = kValueParts * kValuePartBytes;
  static constexpr int kTensorBytes = kQueryBytes + kStages * (kKeyBytes + kValueBytes);
  static constexpr int kSums = kHeadSize / 2;
  static constexpr int kScores = kKeyRows / 2;
};

/// What follows the tensors in shared memory.
template <int kStages>
struct AttentionShared {
  Barrier item_full;
  Barrier item_empty;
  Barrier k_full[kStages];
  Barrier k_empty[kStages];
  Barrier v_full[kStages];
  Barrier v_empty[kStages];
  /// The item that Q belongs to; `head` is -1 after the last.
  AttentionTile tile;
  int head;
};

template <typename Shape>
constexpr std::size_t attention_shared_bytes() {
  return Shape::kTensorBytes + sizeof(AttentionShared<Shape::kStages>);
}

struct AttentionArguments {
  /// Boxes of 64 columns, and of the rest of a head.
  CUtensorMap q_full;
  CUtensorMap q_rest;
  CUtensorMap k_full;
  CUtensorMap k_rest;
  CUtensorMap v_full;
  View<Bf16> y;
  const AttentionTile* tiles;
  Rows tile_count;
  int heads;
  /// scale · log2(e): the softmax is taken in powers of two.
  float scale;
  AttentionWork* work;
};

/// 2^x by a cubic over [-1/2, 1/2] and the exponent's bits, on the units that add and multiply.
__device__ __forceinline__ float exp2_polynomial(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: adding it leaves the nearest integer in the lowest bits
  x = fmaxf(x, -126.0f);
  const float rounded = x + kRound;
  const float rest = x - (rounded - kRound);
  // The cubic of least relative error over the interval: 7.5e-5.
  const float cubic =
      fmaf(fmaf(fmaf(0.05517166907f, rest, 0.24261112219f), rest, 0.69326098546f), rest, 0.99992807354f);
  return __int_as_float(__float_as_int(cubic) + (__float_as_int(rounded) << 23));
}

/// Copies rows of Q or K, part by part.
template <typename Shape, int kRows>
__device__ __forceinline__ void copy_head_rows(std::uint32_t to, const CUtensorMap& full, const CUtensorMap& rest,
                                               Barrier* barrier, int head, int row) {
  barrier_arrive_expecting(barrier, kRows * Shape::kRowBytes);
#pragma unroll
  for (int part = 0; part < Shape::kFullParts; ++part) {
    copy_box(to + part * kRows * 128, &full, barrier, part * 64, head, row);
  }
  if constexpr (Shape::kRestRowBytes > 0) {
    copy_box(to + Shape::kFullParts * kRows * 128, &rest, barrier, Shape::kFullParts * 64, head, row);
  }
}

template <typename Shape>
__device__ __forceinline__ void produce(const AttentionArguments& arguments, std::uint32_t tensors,
                                        AttentionShared<Shape::kStages>& shared) {
  const std::uint32_t q_shared = tensors;
  const std::uint32_t k_shared = q_shared + Shape::kQueryBytes;
  const std::uint32_t v_shared = k_shared + Shape::kStages * Shape::kKeyBytes;
  const int tiles = real_rows(arguments.tile_count);
  const int items = tiles * arguments.heads;
  RingPosition<Shape::kStages> at;
  std::uint32_t item_parity = 0;
  for (int item = static_cast<int>(blockIdx.x); item < items;) {
    const int next = static_cast<int>(gridDim.x) + atomicAdd(&arguments.work->next, 1);
    const int head = item / tiles;
    const AttentionTile tile = arguments.tiles[item - head * tiles];
    barrier_wait(&shared.item_empty, item_parity ^ 1);
    shared.tile = tile;
    shared.head = head;
    copy_head_rows<Shape, Shape::kTileRows>(q_shared, arguments.q_full, arguments.q_rest, &shared.item_full, head,
                                            tile.segment_start + tile.first_row);
    item_parity ^= 1;
    for (int step = divide_up(tile.segment_length, Shape::kKeyRows) - 1; step >= 0; --step) {
      const int row = tile.segment_start + step * Shape::kKeyRows;
      barrier_wait(&shared.k_empty[at.stage], at.parity ^ 1);
      copy_head_rows<Shape, Shape::kKeyRows>(k_shared + at.stage * Shape::kKeyBytes, arguments.k_full, arguments.k_rest,
                                             &shared.k_full[at.stage], head, row);
      barrier_wait(&shared.v_empty[at.stage], at.parity ^ 1);
      barrier_arrive_expecting(&shared.v_full[at.stage], Shape::kValueBytes);
#pragma unroll
      for (int part = 0; part < Shape::kValueParts; ++part) {
        copy_box(v_shared + at.stage * Shape::kValueBytes + part * Shape::kValuePartBytes, &arguments.v_full,
                 &shared.v_full[at.stage], part * 64, head, row);
      }
      at.advance();
    }
    item = next;
  }
  barrier_wait(&shared.item_empty, item_parity ^ 1);
  shared.head = -1;
  barrier_arrive(&shared.item_full);

  // The last block to come here has seen every item taken, and no one reads the counters any more.
  __threadfence();
  if (atomicAdd(&arguments.work->finished, 1) == static_cast<int>(gridDim.x) - 1) {
    arguments.work->next = 0;
    arguments.work->finished = 0;
  }
}

/// The running softmax of the two rows of a thread, which it shares with the three other threads of its quad.
struct RunningRows {
  float largest[2];
  /// Of this thread's columns alone, until the end.
  float sum[2];
};

/// Turns a step's scores into weights relative to the new maximum. Returns by how much older sums shrink.
template <typename Shape>
__device__ __forceinline__ float2 weigh(float (&scores)[Shape::kScores], RunningRows& rows, float scale) {
  float shrink[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float even = rows.largest[half];
    float odd = even;
#pragma unroll
    for (int i = 2 * half; i < Shape::kScores; i += 4) {
      even = fmaxf(even, scores[i]);
      odd = fmaxf(odd, scores[i + 1]);
    }
    float largest = fmaxf(even, odd);
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
    shrink[half] = exp2_approximate((rows.largest[half] - largest) * scale);
    rows.largest[half] = largest;
  }
  float sums[2][2] = {};
  const float shift[2] = {rows.largest[0] * scale, rows.largest[1] * scale};
#pragma unroll
  for (int i = 0; i < Shape::kScores; ++i) {
    const int half = i / 2 % 2;
    const float exponent = fmaf(scores[i], scale, -shift[half]);
    // Spread evenly, so that both units have work throughout.
    const bool polynomial = i / 4 * Shape::kPolynomialTiles % 8 < Shape::kPolynomialTiles;
    scores[i] = polynomial ? exp2_polynomial(exponent) : exp2_approximate(exponent);
    sums[half][i % 2] += scores[i];
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    rows.sum[half] = rows.sum[half] * shrink[half] + (sums[half][0] + sums[half][1]);
  }
  return {shrink[0], shrink[1]};
}

template <typename Shape>
__device__ __forceinline__ void consume(const AttentionArguments& arguments, std::uint32_t tensors,
                                        AttentionShared<Shape::kStages>& shared, int warpgroup) {
  constexpr int kOtherBarrier = 1 + Shape::kWarpgroups;  // after the turns'; 0 is __syncthreads
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int lane = thread % 32;
  const std::uint32_t k_shared = tensors + Shape::kQueryBytes;
  const std::uint32_t v_shared = k_shared + Shape::kStages * Shape::kKeyBytes;
  const std::uint64_t q_full = matrix_descriptor(tensors + warpgroup * 64 * 128, 128);
  const std::uint64_t k_full = matrix_descriptor(k_shared, 128);
  const std::uint64_t q_rest = matrix_descriptor(
      tensors + Shape::kFullParts * Shape::kTileRows * 128 + warpgroup * 64 * Shape::kRestRowBytes, Shape::kRestRowBytes);
  const std::uint64_t k_rest =
      matrix_descriptor(k_shared + Shape::kFullParts * Shape::kKeyRows * 128, Shape::kRestRowBytes);
  const std::uint64_t v_full = matrix_descriptor(v_shared, 128, Shape::kValuePartBytes);

  const auto release = [&](Barrier* barrier) {
    __syncwarp();
    if (lane == 0) barrier_arrive(barrier);
  };
  const auto await_turn = [&] {
    if constexpr (Shape::kInTurn) named_barrier_sync(1 + warpgroup, 256);
  };
  const auto pass_turn = [&] {
    if constexpr (Shape::kInTurn) named_barrier_arrive(1 + (warpgroup + 1) % Shape::kWarpgroups, 256);
  };
  if (warpgroup == Shape::kWarpgroups - 1) pass_turn();

  float scores[Shape::kScores];
  float sums[Shape::kSums];
  std::uint32_t weights[Shape::kScores / 2];
  const auto start_scores = [&](int stage) {
    products_fence();
    pin_registers(scores);
#pragma unroll
    for (int k = 0; k < Shape::kFullParts * 4; ++k) {
      SharedProduct<Shape::kKeyRows>::add(
          scores, moved(q_full, k / 4 * Shape::kTileRows * 128 + k % 4 * 32),
          moved(k_full, stage * Shape::kKeyBytes + k / 4 * Shape::kKeyRows * 128 + k % 4 * 32), k > 0);
    }
#pragma unroll
    for (int k = 0; k < Shape::kRestRowBytes / 32; ++k) {
      SharedProduct<Shape::kKeyRows>::add(scores, moved(q_rest, k * 32),
                                          moved(k_rest, stage * Shape::kKeyBytes + k * 32), true);
    }
    products_commit();
  };
  const auto start_sums = [&](int stage, bool keep) {
    products_fence();
    pin_registers(sums);
    pin_registers(weights);
#pragma unroll
    for (int k = 0; k < Shape::kKeyRows / 16; ++k) {
      RegisterProduct<Shape::kHeadSize>::add(
          sums, weights + 4 * k, moved(v_full, stage * Shape::kValueBytes + k * 16 * 128), keep || k > 0);
    }
    products_commit();
  };
  const auto pack_weights = [&] {
#pragma unroll
    for (int i = 0; i < Shape::kScores / 2; ++i) weights[i] = pack_bf16(scores[2 * i], scores[2 * i + 1]);
  };

  RingPosition<Shape::kStages> k_at;
  RingPosition<Shape::kStages> v_at;
  for (std::uint32_t item_parity = 0;; item_parity ^= 1) {
    barrier_wait(&shared.item_full, item_parity);
    const int head = uniform(shared.head);
    if (head < 0) return;
    const AttentionTile tile{uniform(shared.tile.segment_start), uniform(shared.tile.segment_length),
                             uniform(shared.tile.first_row), 0};
    const int steps = divide_up(tile.segment_length, Shape::kKeyRows);
    const int first_row = tile.first_row + 64 * warpgroup;

    if (first_row >= tile.segment_length) {
      // Nothing to compute at the end of a segment; the buffers and turns must go round all the same.
      release(&shared.item_empty);
      for (int step = 0; step < steps; ++step) {
        barrier_wait(&shared.k_full[k_at.stage], k_at.parity);
        release(&shared.k_empty[k_at.stage]);
        k_at.advance();
        if (step > 0) {
          await_turn();
          pass_turn();
        }
        barrier_wait(&shared.v_full[v_at.stage], v_at.parity);
        release(&shared.v_empty[v_at.stage]);
        v_at.advance();
      }
      continue;
    }

    barrier_wait(&shared.k_full[k_at.stage], k_at.parity);
    start_scores(k_at.stage);
    products_wait<0>();
    pin_registers(scores);
    release(&shared.k_empty[k_at.stage]);
    k_at.advance();
    if (steps == 1) release(&shared.item_empty);
    const int last_keys = tile.segment_length - (steps - 1) * Shape::kKeyRows;
    if (last_keys < Shape::kKeyRows) {
#pragma unroll
      for (int i = 0; i < Shape::kScores; ++i) {
        if (i / 4 * 8 + lane % 4 * 2 + i % 2 >= last_keys) scores[i] = -INFINITY;
      }
      barrier_wait(&shared.v_full[v_at.stage], v_at.parity);
      // Every consumer overwrites all of them, so that none needs to wait for another.
      const std::uint32_t v_stage = v_shared + v_at.stage * Shape::kValueBytes;
#pragma unroll
      for (int part = 0; part < Shape::kValueParts; ++part) {
        for (int at = last_keys * 128 + thread * 16; at < Shape::kValuePartBytes; at += 128 * 16) {
          asm volatile("st.shared.v4.u32 [%0], {%1, %1, %1, %1};" ::"r"(v_stage + part * Shape::kValuePartBytes + at),
                       "r"(0)
                       : "memory");
        }
      }
      fence_shared_writes();
      named_barrier_sync(kOtherBarrier + warpgroup, 128);
    }
    RunningRows rows{{-INFINITY, -INFINITY}, {0, 0}};
    weigh<Shape>(scores, rows, arguments.scale);
    pack_weights();

    for (int step = 1; step < steps; ++step) {
      barrier_wait(&shared.k_full[k_at.stage], k_at.parity);
      await_turn();
      start_scores(k_at.stage);
      barrier_wait(&shared.v_full[v_at.stage], v_at.parity);
      start_sums(v_at.stage, step > 1);
      pass_turn();
      products_wait<1>();
      pin_registers(scores);
      release(&shared.k_empty[k_at.stage]);
      k_at.advance();
      if (step + 1 == steps) release(&shared.item_empty);
      const float2 shrink = weigh<Shape>(scores, rows, arguments.scale);
      // Without this the compiler moves the wait above the softmax, and nothing overlaps.
      pin_registers(scores);
      products_wait<0>();
      pin_registers(sums);
      release(&shared.v_empty[v_at.stage]);
      v_at.advance();
#pragma unroll
      for (int i = 0; i < Shape::kSums; ++i) sums[i] *= i / 2 % 2 == 0 ? shrink.x : shrink.y;
      pack_weights();
    }
    barrier_wait(&shared.v_full[v_at.stage], v_at.parity);
    start_sums(v_at.stage, steps > 1);
    products_wait<0>();
    pin_registers(sums);
    release(&shared.v_empty[v_at.stage]);
    v_at.advance();

#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = rows.sum[half];
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      const float normalize = 1.0f / sum;
      const int row = first_row + thread / 32 * 16 + half * 8 + lane / 4;
      if (row >= tile.segment_length) continue;
      Bf16* out = arguments.y.data + static_cast<std::int64_t>(tile.segment_start + row) * arguments.y.row_stride +
                  head * Shape::kHeadSize + lane % 4 * 2;
#pragma unroll
      for (int column = 0; column < Shape::kHeadSize / 8; ++column) {
        *reinterpret_cast<std::uint32_t*>(out + 8 * column) =
            pack_bf16(sums[4 * column + 2 * half] * normalize, sums[4 * column + 2 * half + 1] * normalize);
      }
    }
  }
}

template <typename Shape>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    attention_kernel(const __grid_constant__ AttentionArguments arguments) {
  extern __shared__ __align__(1024) unsigned char tensors[];
  auto& shared = *reinterpret_cast<AttentionShared<Shape::kStages>*>(tensors + Shape::kTensorBytes);
  if (threadIdx.x == 0) {
    constexpr int kConsumerWarps = 4 * Shape::kWarpgroups;
    barrier_init(&shared.item_full, 1);
    barrier_init(&shared.item_empty, kConsumerWarps);
    for (int stage = 0; stage < Shape::kStages; ++stage) {
      barrier_init(&shared.k_full[stage], 1);
      barrier_init(&shared.v_full[stage], 1);
      barrier_init(&shared.k_empty[stage], kConsumerWarps);
      barrier_init(&shared.v_empty[stage], kConsumerWarps);
    }
    barrier_init_done();
    prefetch_tensor_map(&arguments.q_full);
    prefetch_tensor_map(&arguments.k_full);
    prefetch_tensor_map(&arguments.v_full);
  }
  __syncthreads();
  wait_for_previous_kernels();
  let_next_kernel_start();

  // One if and else: the compiler gives each branch the registers that it asks for.
  const int warpgroup = uniform(static_cast<int>(threadIdx.x) / 128);
  if (warpgroup == 0) {
    give_registers<Shape::kProducerRegisters>();
    if (threadIdx.x < 32 && is_elected()) {
      produce<Shape>(arguments, shared_address(tensors), shared);
    }
  } else {
    take_registers<Shape::kConsumerRegisters>();
    consume<Shape>(arguments, shared_address(tensors), shared, warpgroup - 1);
  }
}

}  // namespace vitgraph::kernels::sm90
