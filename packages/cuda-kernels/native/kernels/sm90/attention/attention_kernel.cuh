// Varlen attention for compute capability 9.0: y = softmax(q · kᵀ · scale) · v, head by head, segment by segment.
//
// One warpgroup copies (producer), the others compute (consumers), 64 query rows each. The blocks stay: each takes the
// next (tile, head) from a counter until there is none. Consumers walk over the keys from the last block to the first,
// so that only the first step masks. A step starts the product of Q with the next keys and that of the last weights with
// their values, and computes the softmax of the former while the latter runs. With kInTurn the consumers start their
// products in turn, so that the tensor cores work for one while the others compute exponentials.
//
// Template    kHeadSize, a multiple of 8; kWarpgroups of consumers; kKeyRows in one step; kStages of K and of V; kInTurn.
// Grid        as many blocks as fit on the device at once, at most one a (tile, head) of the capacity.
// Block       128 · (1 + kWarpgroups) threads; registers move from the producer to the consumers.
// Shared      Q of the tile, kStages of K and of V, in parts of 64 columns and a rest, swizzled. The copy engine fills
//             columns beyond the head with zeros (72 = 64 + 8), so the first product runs over 80 columns; the second
//             takes exactly 72. Nothing is rounded up in global memory.
// Assumes     q, k and v at multiples of 16 bytes, y at multiples of 4; the tile table lies inside the buffers.
// Order       Item: the producer's thread writes it and arrives; the first lane of each warp waits, reads it and, when all lanes
//             are done with Q, arrives for its warp. Stages: the copy engine's bytes end the phase that consumers wait
//             for; they arrive once their products have been waited for, and only then is the stage copied over. Zeros
//             that consumers write over V's end are fenced towards the tensor cores and the copy engine before that.
//             Racecheck sees all of it, and reports nothing; it missed reads of the item by lanes that do not arrive.
// Numerics    bf16 products with f32 sums; the softmax in f32, with exp2 and the scale folded into it. Weights are relative
//             to a reference near the row's maximum (RunningRows), which costs no accuracy: floats are as fine at 2^24 as
//             at 1. They are rounded to bf16 before the second product; their sum is taken before that rounding.
//             Rows that follow a segment (another's, or stale ones) are read by the boxes. As keys they are masked; as
//             values they are overwritten with zeros in shared memory, since a weight of zero would not silence a NaN.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/sm90/attention/attention.h"
#include "kernels/sm90/common/tensor_copy.cuh"
#include "kernels/sm90/common/wgmma.cuh"

namespace vitgraph::kernels::sm90 {

template <int kHeadSize_, int kWarpgroups_, int kKeyRows_, int kStages_ = 2, bool kInTurn_ = true>
struct AttentionShape {
  static constexpr int kHeadSize = kHeadSize_;
  static constexpr int kWarpgroups = kWarpgroups_;
  static constexpr int kKeyRows = kKeyRows_;
  static constexpr int kStages = kStages_;
  static constexpr bool kInTurn = kInTurn_ && kWarpgroups > 1;
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
  View<const Bf16> q;
  View<const Bf16> k;
  View<const Bf16> v;
  View<Bf16> y;
  const AttentionTile* tiles;
  Rows tile_count;
  int heads;
  /// scale · log2(e): the softmax is taken in powers of two.
  float scale;
  AttentionWork* work;
};

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
  int item = static_cast<int>(blockIdx.x);
  int head = 0;
  AttentionTile tile{};
  const auto look_up = [&] {
    if (item >= items) return;
    head = item / tiles;
    tile = arguments.tiles[item - head * tiles];
  };
  // The tiles are written before the first kernel of a run, so the first is looked up while the kernel before still runs.
  look_up();
  await_previous_kernels();
  while (item < items) {
    const int next = static_cast<int>(gridDim.x) + atomicAdd(&arguments.work->next, 1);
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
    look_up();
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
///
/// Weights are powers of two relative to a reference. A running maximum as the reference would cost a pass over the scores
/// and one over the sums in every step. The weights may be as large as floats go, though, so a reference that is near
/// enough does: the maximum of the first keys, raised whenever the sum of weights passes kRaiseAbove.
struct RunningRows {
  /// The reference, in the exponent's units.
  float shift[2];
  /// Of this thread's columns alone, until the end.
  float sum[2];
  /// The sum passed kOverflow in one step. What was added up may be infinite.
  bool overflowed[2];
};

inline constexpr float kRaiseAbove = 16777216.0f;            // 2^24
inline constexpr float kOverflow = 1.2676506002282294e30f;  // 2^100: leaves 2^27 for the values

__device__ __forceinline__ float sum_over_quad(float value) {
  value += __shfl_xor_sync(~0u, value, 1);
  return value + __shfl_xor_sync(~0u, value, 2);
}

/// The rows' reference after the first keys: their maximum.
template <typename Shape>
__device__ __forceinline__ RunningRows start_rows(const float (&scores)[Shape::kScores], float scale) {
  RunningRows rows{};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float largest = -INFINITY;
#pragma unroll
    for (int i = 2 * half; i < Shape::kScores; i += 4) largest = fmaxf(largest, fmaxf(scores[i], scores[i + 1]));
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
    rows.shift[half] = largest * scale;
  }
  return rows;
}

/// Turns a step's scores into weights.
template <typename Shape>
__device__ __forceinline__ void weigh(float (&scores)[Shape::kScores], RunningRows& rows, float scale) {
  float sums[2][2] = {};
#pragma unroll
  for (int i = 0; i < Shape::kScores; ++i) {
    const int half = i / 2 % 2;
    scores[i] = exp2_approximate(fmaf(scores[i], scale, -rows.shift[half]));
    sums[half][i % 2] += scores[i];
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) rows.sum[half] += sums[half][0] + sums[half][1];
}

/// Raises the reference of rows whose weights have grown, and brings what was computed with the old one to the new.
template <typename Shape>
__device__ __forceinline__ void raise_reference(RunningRows& rows, float (&weights)[Shape::kScores],
                                                float (&sums)[Shape::kSums]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float total = sum_over_quad(rows.sum[half]);
    rows.overflowed[half] |= total >= kOverflow;
    const int exponent = (__float_as_int(total) >> 23) - 127;
    const int raise = total > kRaiseAbove ? min(exponent, 120) : 0;
    const float factor = __int_as_float((127 - raise) << 23);
    rows.shift[half] += static_cast<float>(raise);
    rows.sum[half] *= factor;
#pragma unroll
    for (int i = 2 * half; i < Shape::kScores; i += 4) {
      weights[i] *= factor;
      weights[i + 1] *= factor;
    }
#pragma unroll
    for (int i = 2 * half; i < Shape::kSums; i += 4) {
      sums[i] *= factor;
      sums[i + 1] *= factor;
    }
  }
}

/// One row and head by one warp, straight from the formula, with the true maximum: the way out for rows whose scores leap
/// by more than 2^76 over all keys before. Slow; such rows hardly exist. Its branches and loops are uniform all the same:
/// a divergent one here would cost the loop around it its uniform registers.
template <int kHeadSize>
__device__ __forceinline__ void attend_exactly(const AttentionArguments& arguments, const AttentionTile& tile, int row,
                                            int head) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const Bf16* q = arguments.q.data + (tile.segment_start + row) * arguments.q.row_stride + head * kHeadSize;
  const auto exponent = [&](int key) {
    const Bf16* k = arguments.k.data + (tile.segment_start + key) * arguments.k.row_stride + head * kHeadSize;
    float dot = 0;
    for (int i = 0; i < kHeadSize; ++i) dot += __bfloat162float(q[i]) * __bfloat162float(k[i]);
    return dot * arguments.scale;
  };
  float largest = -INFINITY;
  for (int first = 0; first < tile.segment_length; first += 32) {
    largest = fmaxf(largest, exponent(min(first + lane, tile.segment_length - 1)));
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, distance));
  }
  float sum = 0;
  constexpr int kLaneColumns = divide_up(kHeadSize, 32);
  float sums[kLaneColumns] = {};
  for (int first = 0; first < tile.segment_length; first += 32) {
    const float nearest = exp2_approximate(exponent(min(first + lane, tile.segment_length - 1)) - largest);
    const float own = first + lane < tile.segment_length ? nearest : 0;
    sum += own;
    for (int i = 0; i < min(32, tile.segment_length - first); ++i) {
      const float weight = __shfl_sync(~0u, own, i);
      const Bf16* v = arguments.v.data + (tile.segment_start + first + i) * arguments.v.row_stride + head * kHeadSize;
#pragma unroll
      for (int c = 0; c < kLaneColumns; ++c) {
        if (c * 32 + lane < kHeadSize) sums[c] += weight * __bfloat162float(v[c * 32 + lane]);
      }
    }
  }
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
  Bf16* y = arguments.y.data + (tile.segment_start + row) * arguments.y.row_stride + head * kHeadSize;
#pragma unroll
  for (int c = 0; c < kLaneColumns; ++c) {
    if (c * 32 + lane < kHeadSize) y[c * 32 + lane] = __float2bfloat16_rn(sums[c] / sum);
  }
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
  // The lane that reads the item is the one that releases it.
  const auto from_first_lane = [&](const int& value) { return uniform(lane == 0 ? value : 0); };
  for (std::uint32_t item_parity = 0;; item_parity ^= 1) {
    barrier_wait(&shared.item_full, item_parity);
    const int head = from_first_lane(shared.head);
    if (head < 0) return;
    const AttentionTile tile{from_first_lane(shared.tile.segment_start), from_first_lane(shared.tile.segment_length),
                             from_first_lane(shared.tile.first_row), 0};
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
    RunningRows rows = start_rows<Shape>(scores, arguments.scale);
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
      weigh<Shape>(scores, rows, arguments.scale);
      pin_registers(scores);
      // The branch must stand here: within one basic block the assembler moves the wait above the softmax, and nothing
      // overlaps.
      if (step + 1 == steps) release(&shared.item_empty);
      products_wait<0>();
      pin_registers(sums);
      release(&shared.v_empty[v_at.stage]);
      v_at.advance();
      if (__any_sync(~0u, fmaxf(rows.sum[0], rows.sum[1]) > kRaiseAbove)) raise_reference<Shape>(rows, scores, sums);
      pack_weights();
    }
    barrier_wait(&shared.v_full[v_at.stage], v_at.parity);
    start_sums(v_at.stage, steps > 1);
    products_wait<0>();
    pin_registers(sums);
    release(&shared.v_empty[v_at.stage]);
    v_at.advance();

    bool overflowed = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = sum_over_quad(rows.sum[half]);
      const float normalize = __frcp_rn(sum);
      const int row = first_row + thread / 32 * 16 + half * 8 + lane / 4;
      if (row >= tile.segment_length) continue;
      overflowed |= rows.overflowed[half] || sum >= kOverflow;
      Bf16* out = arguments.y.data + static_cast<std::int64_t>(tile.segment_start + row) * arguments.y.row_stride +
                  head * Shape::kHeadSize + lane % 4 * 2;
#pragma unroll
      for (int column = 0; column < Shape::kHeadSize / 8; ++column) {
        *reinterpret_cast<std::uint32_t*>(out + 8 * column) =
            pack_bf16(sums[4 * column + 2 * half] * normalize, sums[4 * column + 2 * half + 1] * normalize);
      }
    }
    if (uniform(__any_sync(~0u, overflowed))) {
      const int warp_row = uniform(first_row + thread / 32 * 16);
      for (int row = warp_row; row < min(warp_row + 16, tile.segment_length); ++row) {
        attend_exactly<Shape::kHeadSize>(arguments, tile, row, head);
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
  // One if and else: the compiler gives each branch the registers that it asks for.
  const int warpgroup = uniform(static_cast<int>(threadIdx.x) / 128);
  if (warpgroup == 0) {
    give_registers<Shape::kProducerRegisters>();
    if (threadIdx.x < 32 && is_elected()) {
      produce<Shape>(arguments, shared_address(tensors), shared);
    }
  } else {
    take_registers<Shape::kConsumerRegisters>();
    await_previous_kernels();
    consume<Shape>(arguments, shared_address(tensors), shared, warpgroup - 1);
  }
}

}  // namespace vitgraph::kernels::sm90
