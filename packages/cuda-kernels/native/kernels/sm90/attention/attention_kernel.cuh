// Varlen attention for compute capability 9.0: y = softmax(q · kᵀ · scale) · v, head by head, segment by segment.
//
// One producer warpgroup copies; the consumer warpgroups compute 64 query rows each. Blocks are persistent: each takes
// items (attention_tiles.h) from a counter until none is left. Consumers iterate over the keys from the last block to
// the first, so that only the first step masks. A step issues Q · Kᵀ for the next keys and P · V for the previous
// weights, and computes the softmax of the former while the latter runs. Items are pipelined the same way: an item's
// last P · V overlaps the first Q · Kᵀ of the next, and its results are written after that step's softmax. With kInTurn
// the consumers issue their products in turn, so that the tensor cores work for one while the others compute
// exponentials.
//
// Template    kHeadSize, a multiple of 8; kWarpgroups of consumers; kKeyRows in one step; kStages of K and of V; kInTurn.
// Grid        one block per multiprocessor, at most one per item of the capacity.
// Block       128 · (1 + kWarpgroups) threads; registers move from the producer to the consumers.
// Shared      Q of two items, kStages of K and of V, in parts of 64 columns and a remainder, swizzled. TMA zero-fills
//             columns beyond the head (72 = 64 + 8), so Q · Kᵀ runs over 80 columns; P · V over exactly 72. Global
//             memory is not padded. Results are staged in the buffer of their Q: a warp writes 16 rows in TMA's layout.
//             Direct stores of 4 bytes per thread took up to 3500 cycles per item.
// Assumes     q, k, v and y at multiples of 16 bytes; the tile table lies inside the buffers.
// Order       Item: the producer thread writes it and arrives. The first lane of each warp waits, reads it, and arrives
//             for its warp when Q's buffer is free. For an item of one step, whose results are stored directly, that is
//             when all lanes are done with Q; else in the second step of the next item, when TMA has read the results.
//             Stages: TMA's bytes complete the phase that consumers wait for. Consumers arrive once their products have
//             completed, and only then is the stage overwritten. Results, and the zeros that consumers write over V's
//             end, are fenced for the tensor cores and TMA.
//             Racecheck covers all of it and reports nothing; it missed reads of the item by lanes that do not arrive.
// Registers   No code may follow the loop over the steps, and its conditions must be provably uniform: otherwise the
//             descriptors leave the uniform registers, and the consumers spill (docs/attention-ladder.md). Loops of
//             copies and skipped steps are not unrolled: a fifth less code to fetch in each launch.
// Numerics    bf16 products with f32 sums; the softmax in f32, with exp2 and the scale folded in. Weights are relative
//             to a reference near the row's maximum (RunningRows), at no cost in accuracy: floats have the same
//             relative precision at 2^24 as at 1. They are summed before they are rounded to bf16 for P · V.
//             Boxes also read the rows after a segment (another segment's, or stale ones). As keys they are masked; as
//             values they are zeroed in shared memory, since a weight of zero would not suppress a NaN.
#pragma once

#include <type_traits>

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
  static constexpr bool kInTurn = kInTurn_;
  /// Q of the next item arrives while this one's is in use.
  static constexpr int kQueryStages = 2;
  static constexpr int kTileRows = 64 * kWarpgroups;
  static constexpr int kThreads = 128 * (1 + kWarpgroups);
  static constexpr int kProducerRegisters = kWarpgroups == 2 ? 24 : 32;
  static constexpr int kConsumerRegisters = kWarpgroups == 2 ? 240 : 160;
  /// Q and K: parts of 64 columns, rows of 128 bytes; then the remainder of the head in shorter rows.
  static constexpr int kFullParts = kHeadSize / 64;
  static constexpr int kRestColumns = kHeadSize % 64;
  static constexpr int kRestRowBytes = kRestColumns == 0 ? 0 : kRestColumns <= 16 ? 32 : 64;
  static constexpr int kRowBytes = kFullParts * 128 + kRestRowBytes;
  static constexpr int kQueryBytes = kTileRows * kRowBytes;
  static constexpr int kKeyBytes = kKeyRows * kRowBytes;
  /// V: whole rows of 128 bytes, since one product must span all columns.
  static constexpr int kValueParts = divide_up(kHeadSize, 64);
  static constexpr int kValuePartBytes = kKeyRows * 128;
  static constexpr int kValueBytes = kValueParts * kValuePartBytes;
  static constexpr int kTensorBytes = kQueryStages * kQueryBytes + kStages * (kKeyBytes + kValueBytes);
  static constexpr int kSums = kHeadSize / 2;
  static constexpr int kScores = kKeyRows / 2;
};

/// The part of shared memory after the tensors.
template <typename Shape>
struct AttentionShared {
  Barrier item_full[Shape::kQueryStages];
  Barrier item_empty[Shape::kQueryStages];
  Barrier k_full[Shape::kStages];
  Barrier k_empty[Shape::kStages];
  Barrier v_full[Shape::kStages];
  Barrier v_empty[Shape::kStages];
  /// The items whose Q is in the buffers. `head` is -1 after the last.
  AttentionItem items[Shape::kQueryStages];
};

template <typename Shape>
constexpr std::size_t attention_shared_bytes() {
  return Shape::kTensorBytes + sizeof(AttentionShared<Shape>);
}

struct AttentionArguments {
  /// Boxes of 64 columns, and of the remainder of a head.
  CUtensorMap q_full;
  CUtensorMap q_rest;
  CUtensorMap k_full;
  CUtensorMap k_rest;
  CUtensorMap v_full;
  /// Boxes of 16 rows, one warp's share.
  CUtensorMap y_full;
  CUtensorMap y_rest;
  View<const Bf16> q;
  View<const Bf16> k;
  View<const Bf16> v;
  View<Bf16> y;
  const AttentionStrip* tiles;
  Rows tile_count;
  int heads;
  /// scale · log2(e): the softmax uses powers of two.
  float scale;
  AttentionWork* work;
};

/// Copies the rows of an item's Q, 64 per consumer, part by part.
template <typename Shape>
__device__ __forceinline__ void copy_queries(std::uint32_t to, const AttentionArguments& arguments, Barrier* barrier,
                                             const AttentionItem& item) {
  const int boxes = divide_up(item.rows, 64);
  barrier_arrive_expecting(barrier, boxes * 64 * Shape::kRowBytes);
#pragma unroll 1
  for (int box = 0; box < boxes; ++box) {
    const int row = item.segment_start + item.first_row + box * 64;
#pragma unroll
    for (int part = 0; part < Shape::kFullParts; ++part) {
      copy_box(to + part * Shape::kTileRows * 128 + box * 64 * 128, &arguments.q_full, barrier, part * 64, item.head,
               row);
    }
    if constexpr (Shape::kRestRowBytes > 0) {
      copy_box(to + Shape::kFullParts * Shape::kTileRows * 128 + box * 64 * Shape::kRestRowBytes, &arguments.q_rest,
               barrier, Shape::kFullParts * 64, item.head, row);
    }
  }
}

template <typename Shape>
__device__ __forceinline__ void copy_keys(std::uint32_t to, const AttentionArguments& arguments, Barrier* barrier,
                                          int head, int row) {
  barrier_arrive_expecting(barrier, Shape::kKeyBytes);
#pragma unroll
  for (int part = 0; part < Shape::kFullParts; ++part) {
    copy_box(to + part * Shape::kKeyRows * 128, &arguments.k_full, barrier, part * 64, head, row);
  }
  if constexpr (Shape::kRestRowBytes > 0) {
    copy_box(to + Shape::kFullParts * Shape::kKeyRows * 128, &arguments.k_rest, barrier, Shape::kFullParts * 64, head,
             row);
  }
}

template <typename Shape>
__device__ __forceinline__ void copy_values(std::uint32_t to, const AttentionArguments& arguments, Barrier* barrier,
                                            int head, int row) {
  barrier_arrive_expecting(barrier, Shape::kValueBytes);
#pragma unroll
  for (int part = 0; part < Shape::kValueParts; ++part) {
    copy_box(to + part * Shape::kValuePartBytes, &arguments.v_full, barrier, part * 64, head, row);
  }
}

template <typename Shape>
__device__ __forceinline__ void produce(const AttentionArguments& arguments, std::uint32_t tensors,
                                        AttentionShared<Shape>& shared) {
  const std::uint32_t q_shared = tensors;
  const std::uint32_t k_shared = q_shared + Shape::kQueryStages * Shape::kQueryBytes;
  const std::uint32_t v_shared = k_shared + Shape::kStages * Shape::kKeyBytes;
  const int items = real_rows(arguments.tile_count) * arguments.heads;
  RingPosition<Shape::kQueryStages> q_at;
  RingPosition<Shape::kStages> at;
  int number = static_cast<int>(blockIdx.x);
  AttentionItem item{};
  const auto look_up = [&] {
    if (number < items) item = attention_item(arguments.tiles, number, arguments.heads);
  };
  // Tiles are written before a run's first kernel, so the first lookup overlaps the previous kernel.
  look_up();
  await_previous_kernels();
  while (number < items) {
    barrier_wait(&shared.item_empty[q_at.stage], q_at.parity ^ 1);
    shared.items[q_at.stage] = item;
    copy_queries<Shape>(q_shared + q_at.stage * Shape::kQueryBytes, arguments, &shared.item_full[q_at.stage], item);
    q_at.advance();
    int next = 0;
#pragma unroll 1
    for (int step = divide_up(item.segment_length, Shape::kKeyRows) - 1; step >= 0; --step) {
      const int row = item.segment_start + step * Shape::kKeyRows;
      // Take the next item as late as the stages can hide its latency: taking it earlier would unbalance the blocks.
      if (step == 0) next = static_cast<int>(gridDim.x) + atomicAdd(&arguments.work->next, 1);
      barrier_wait(&shared.k_empty[at.stage], at.parity ^ 1);
      copy_keys<Shape>(k_shared + at.stage * Shape::kKeyBytes, arguments, &shared.k_full[at.stage], item.head, row);
      barrier_wait(&shared.v_empty[at.stage], at.parity ^ 1);
      copy_values<Shape>(v_shared + at.stage * Shape::kValueBytes, arguments, &shared.v_full[at.stage], item.head, row);
      at.advance();
    }
    number = next;
    look_up();
  }
  barrier_wait(&shared.item_empty[q_at.stage], q_at.parity ^ 1);
  shared.items[q_at.stage].head = -1;
  barrier_arrive(&shared.item_full[q_at.stage]);

  // When the last block gets here, all items are taken and no block reads the counters any more.
  __threadfence();
  if (atomicAdd(&arguments.work->finished, 1) == static_cast<int>(gridDim.x) - 1) {
    arguments.work->next = 0;
    arguments.work->finished = 0;
  }
}

/// The running softmax of a thread's two rows, shared with the three other threads of its quad.
///
/// Weights are powers of two relative to a reference. A running maximum as the reference would cost a pass over the
/// scores and one over the sums in every step. Floats have enough range for an approximate reference: the maximum of
/// the first keys, raised whenever the sum of weights exceeds kRaiseAbove.
struct RunningRows {
  /// The reference, in units of the exponent.
  float shift[2];
  /// Sum over this thread's columns only, until the end.
  float sum[2];
  /// The sum exceeded kOverflow in one step: it may be infinite.
  bool overflowed[2];
};

inline constexpr float kRaiseAbove = 16777216.0f;           // 2^24
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

/// Converts a step's scores to weights.
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

/// Raises the reference of rows whose weights have grown, and rescales their sums to it.
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

/// Computes one row and head with one warp, directly from the formula, with the true maximum: the fallback for rows
/// whose scores jump by more than 2^76 over all previous keys. Slow, and practically never taken. Its branches and
/// loops are uniform nevertheless: a divergent one would cost the enclosing loop its uniform registers.
template <int kHeadSize>
__device__ __forceinline__ void attend_exactly(const AttentionArguments& arguments, const AttentionItem& item,
                                               int row) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const Bf16* q = arguments.q.data + (item.segment_start + row) * arguments.q.row_stride + item.head * kHeadSize;
  const auto exponent = [&](int key) {
    const Bf16* k = arguments.k.data + (item.segment_start + key) * arguments.k.row_stride + item.head * kHeadSize;
    float dot = 0;
#pragma unroll 1
    for (int i = 0; i < kHeadSize; ++i) dot += __bfloat162float(q[i]) * __bfloat162float(k[i]);
    return dot * arguments.scale;
  };
  float largest = -INFINITY;
#pragma unroll 1
  for (int first = 0; first < item.segment_length; first += 32) {
    largest = fmaxf(largest, exponent(min(first + lane, item.segment_length - 1)));
  }
  for (int distance = 16; distance > 0; distance /= 2) {
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, distance));
  }
  float sum = 0;
  constexpr int kLaneColumns = divide_up(kHeadSize, 32);
  float sums[kLaneColumns] = {};
#pragma unroll 1
  for (int first = 0; first < item.segment_length; first += 32) {
    const float nearest = exp2_approximate(exponent(min(first + lane, item.segment_length - 1)) - largest);
    const float own = first + lane < item.segment_length ? nearest : 0;
    sum += own;
#pragma unroll 1
    for (int i = 0; i < min(32, item.segment_length - first); ++i) {
      const float weight = __shfl_sync(~0u, own, i);
      const Bf16* v =
          arguments.v.data + (item.segment_start + first + i) * arguments.v.row_stride + item.head * kHeadSize;
#pragma unroll
      for (int c = 0; c < kLaneColumns; ++c) {
        if (c * 32 + lane < kHeadSize) sums[c] += weight * __bfloat162float(v[c * 32 + lane]);
      }
    }
  }
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
  Bf16* y = arguments.y.data + (item.segment_start + row) * arguments.y.row_stride + item.head * kHeadSize;
#pragma unroll
  for (int c = 0; c < kLaneColumns; ++c) {
    if (c * 32 + lane < kHeadSize) y[c * 32 + lane] = __float2bfloat16_rn(sums[c] / sum);
  }
}

template <typename Shape>
__device__ __forceinline__ void consume(const AttentionArguments& arguments, std::uint32_t tensors,
                                        AttentionShared<Shape>& shared, int warpgroup) {
  constexpr int kOtherBarrier = 1 + Shape::kWarpgroups;  // follows the barriers of the turns; 0 is __syncthreads
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int lane = thread % 32;
  const std::uint32_t k_shared = tensors + Shape::kQueryStages * Shape::kQueryBytes;
  const std::uint32_t v_shared = k_shared + Shape::kStages * Shape::kKeyBytes;
  const std::uint64_t q_full = matrix_descriptor(tensors + warpgroup * 64 * 128, 128);
  const std::uint64_t k_full = matrix_descriptor(k_shared, 128);
  const std::uint64_t q_rest =
      matrix_descriptor(tensors + Shape::kFullParts * Shape::kTileRows * 128 + warpgroup * 64 * Shape::kRestRowBytes,
                        Shape::kRestRowBytes);
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
  RingPosition<Shape::kQueryStages> q_at;
  const auto start_scores = [&](int stage) {
    const std::uint32_t q_moved = q_at.stage * Shape::kQueryBytes;
    products_fence();
    pin_registers(scores);
#pragma unroll
    for (int k = 0; k < Shape::kFullParts * 4; ++k) {
      SharedProduct<Shape::kKeyRows>::add(
          scores, moved(q_full, q_moved + k / 4 * Shape::kTileRows * 128 + k % 4 * 32),
          moved(k_full, stage * Shape::kKeyBytes + k / 4 * Shape::kKeyRows * 128 + k % 4 * 32), k > 0);
    }
#pragma unroll
    for (int k = 0; k < Shape::kRestRowBytes / 32; ++k) {
      SharedProduct<Shape::kKeyRows>::add(scores, moved(q_rest, q_moved + k * 32),
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
      RegisterProduct<Shape::kHeadSize>::add(sums, weights + 4 * k,
                                             moved(v_full, stage * Shape::kValueBytes + k * 16 * 128), keep || k > 0);
    }
    products_commit();
  };
  const auto pack_weights = [&] {
#pragma unroll
    for (int i = 0; i < Shape::kScores / 2; ++i) weights[i] = pack_bf16(scores[2 * i], scores[2 * i + 1]);
  };

  const auto mask_last_keys = [&](int last_keys, const RingPosition<Shape::kStages>& at) {
#pragma unroll
    for (int i = 0; i < Shape::kScores; ++i) {
      if (i / 4 * 8 + lane % 4 * 2 + i % 2 >= last_keys) scores[i] = -INFINITY;
    }
    barrier_wait(&shared.v_full[at.stage], at.parity);
    // Every consumer zeroes all of them, so that none needs to wait for another.
    const std::uint32_t v_stage = v_shared + at.stage * Shape::kValueBytes;
#pragma unroll
    for (int part = 0; part < Shape::kValueParts; ++part) {
      constexpr int kRestUnits = Shape::kHeadSize % 64 / 8;
      const int units = part < Shape::kFullParts ? 8 : kRestUnits;
#pragma unroll 1
      for (int i = thread; i < (Shape::kKeyRows - last_keys) * units; i += 128) {
        const int row = last_keys + i / units;
        const int place = row * 128 + (i % units ^ row % 8) * 16;
        asm volatile("st.shared.v4.u32 [%0], {%1, %1, %1, %1};" ::"r"(v_stage + part * Shape::kValuePartBytes + place),
                     "r"(0)
                     : "memory");
      }
    }
    fence_shared_writes();
    named_barrier_sync(kOtherBarrier + warpgroup, 128);
  };
  // Writes the results of this warp's 16 rows. With kStaged they may be staged in their Q's buffer, `q_stage`.
  const auto finish = [&]<bool kStaged>(std::bool_constant<kStaged>, const AttentionItem& item, const RunningRows& rows,
                                        bool staged, int q_stage) {
    const int first_row = item.first_row + 64 * warpgroup + 16 * uniform(thread / 32);
    const int real_rows = item.segment_length - first_row;
    float normalize[2];
    bool overflowed = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = sum_over_quad(rows.sum[half]);
      normalize[half] = __frcp_rn(sum);
      overflowed |= lane / 4 + 8 * half < real_rows && (rows.overflowed[half] || sum >= kOverflow);
    }
    const bool exactly = uniform(__any_sync(~0u, overflowed));
    const auto results = [&](int column, int half) {
      return pack_bf16(sums[4 * column + 2 * half] * normalize[half],
                       sums[4 * column + 2 * half + 1] * normalize[half]);
    };
    // Wait until the other warps have completed their last product with Q.
    if (kStaged && staged) named_barrier_sync(kOtherBarrier + warpgroup, 128);
    if (kStaged && staged && real_rows >= 16 && !exactly) {
      const int warp_row = 64 * warpgroup + 16 * uniform(thread / 32);
      const std::uint32_t full = tensors + q_stage * Shape::kQueryBytes + warp_row * 128;
      const std::uint32_t rest = tensors + q_stage * Shape::kQueryBytes + Shape::kFullParts * Shape::kTileRows * 128 +
                                 warp_row * Shape::kRestRowBytes;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = lane / 4 + 8 * half;
#pragma unroll
        for (int column = 0; column < Shape::kHeadSize / 8; ++column) {
          const bool is_full = column < Shape::kFullParts * 8;
          const int row_bytes = is_full ? 128 : Shape::kRestRowBytes;
          const std::uint32_t row_at =
              is_full ? full + column / 8 * Shape::kTileRows * 128 + row * 128 : rest + row * row_bytes;
          const int unit = column % 8 ^ (row * row_bytes / 128 & (row_bytes / 16 - 1));
          asm volatile("st.shared.u32 [%0], %1;" ::"r"(row_at + unit * 16 + lane % 4 * 4), "r"(results(column, half))
                       : "memory");
        }
      }
      fence_shared_writes();
      __syncwarp();
      if (is_elected()) {
        const int row = item.segment_start + first_row;
#pragma unroll
        for (int part = 0; part < Shape::kFullParts; ++part) {
          copy_box_back(&arguments.y_full, full + part * Shape::kTileRows * 128, part * 64, item.head, row);
        }
        if constexpr (Shape::kRestRowBytes > 0) {
          copy_box_back(&arguments.y_rest, rest, Shape::kFullParts * 64, item.head, row);
        }
        commit_copies_back();
      }
      return;
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = lane / 4 + 8 * half;
      if (row >= real_rows) continue;
      Bf16* out = arguments.y.data +
                  static_cast<std::int64_t>(item.segment_start + first_row + row) * arguments.y.row_stride +
                  item.head * Shape::kHeadSize + lane % 4 * 2;
#pragma unroll
      for (int column = 0; column < Shape::kHeadSize / 8; ++column) {
        *reinterpret_cast<std::uint32_t*>(out + 8 * column) = results(column, half);
      }
    }
    if (exactly) {
#pragma unroll 1
      for (int row = 0; row < min(16, real_rows); ++row)
        attend_exactly<Shape::kHeadSize>(arguments, item, first_row + row);
    }
  };
  // Releases the previous item's Q: TMA has read its results from there.
  const auto release_queries = [&](int q_stage) {
    if (is_elected()) await_copies_back_read();
    release(&shared.item_empty[q_stage]);
  };

  RingPosition<Shape::kStages> k_at;
  RingPosition<Shape::kStages> v_at;
  // The lane that reads the item is the one that releases it.
  const auto from_first_lane = [&](const int& value) { return uniform(lane == 0 ? value : 0); };
  // The item being summed. The last product of an item is issued with the first of the next.
  AttentionItem item{};
  RunningRows rows{};
  bool under_way = false;
  bool keep = false;
  for (;; q_at.advance()) {
    barrier_wait(&shared.item_full[q_at.stage], q_at.parity);
    const AttentionItem& there = shared.items[q_at.stage];
    const AttentionItem next{from_first_lane(there.segment_start), from_first_lane(there.segment_length),
                             from_first_lane(there.first_row), from_first_lane(there.rows),
                             from_first_lane(there.head)};
    const int steps = divide_up(next.segment_length, Shape::kKeyRows);

    if (next.head < 0 || 64 * warpgroup >= next.rows) {
      if (under_way) {
        barrier_wait(&shared.v_full[v_at.stage], v_at.parity);
        start_sums(v_at.stage, keep);
        products_wait<0>();
        pin_registers(sums);
        release(&shared.v_empty[v_at.stage]);
        v_at.advance();
        if (keep) release(&shared.item_empty[q_at.stage ^ 1]);
        finish(std::false_type(), item, rows, false, 0);
        under_way = false;
      }
      if (next.head < 0) return;
      // The tile has no rows for this consumer, which still must release its buffers and take its turns.
      release(&shared.item_empty[q_at.stage]);
#pragma unroll 1
      for (int step = 0; step < steps; ++step) {
        barrier_wait(&shared.k_full[k_at.stage], k_at.parity);
        release(&shared.k_empty[k_at.stage]);
        k_at.advance();
        await_turn();
        pass_turn();
        barrier_wait(&shared.v_full[v_at.stage], v_at.parity);
        release(&shared.v_empty[v_at.stage]);
        v_at.advance();
      }
      continue;
    }

    const auto take_last_keys = [&](const RingPosition<Shape::kStages>& at) {
      const int last_keys = next.segment_length - (steps - 1) * Shape::kKeyRows;
      if (last_keys < Shape::kKeyRows) mask_last_keys(last_keys, at);
      rows = start_rows<Shape>(scores, arguments.scale);
    };
    const RunningRows rows_before = rows;
    // Whether the previous item's results are staged in Q's buffer. An item of one step has already released it.
    bool staged = false;
    int step = 0;
    if (!under_way) {
      barrier_wait(&shared.k_full[k_at.stage], k_at.parity);
      await_turn();
      start_scores(k_at.stage);
      pass_turn();
      products_wait<0>();
      pin_registers(scores);
      release(&shared.k_empty[k_at.stage]);
      k_at.advance();
      if (steps == 1) release(&shared.item_empty[q_at.stage]);
      take_last_keys(v_at);
      weigh<Shape>(scores, rows, arguments.scale);
      pack_weights();
      keep = false;
      step = 1;
    }
    for (; step < steps; ++step) {
      barrier_wait(&shared.k_full[k_at.stage], k_at.parity);
      await_turn();
      start_scores(k_at.stage);
      barrier_wait(&shared.v_full[v_at.stage], v_at.parity);
      start_sums(v_at.stage, keep);
      pass_turn();
      products_wait<1>();
      pin_registers(scores);
      release(&shared.k_empty[k_at.stage]);
      k_at.advance();
      if (step == 0) {
        if (steps == 1) release(&shared.item_empty[q_at.stage]);
        auto next_v_at = v_at;
        next_v_at.advance();
        take_last_keys(next_v_at);
      }
      weigh<Shape>(scores, rows, arguments.scale);
      pin_registers(scores);
      // Keep the branch here: within one basic block ptxas moves the wait above the softmax, and nothing overlaps.
      if (step == 1 && staged) release_queries(q_at.stage ^ 1);
      products_wait<0>();
      pin_registers(sums);
      release(&shared.v_empty[v_at.stage]);
      v_at.advance();
      if (step == 0) {
        pack_weights();
        staged = keep;
        finish(std::true_type(), item, rows_before, staged, q_at.stage ^ 1);
        if (steps == 1 && staged) release_queries(q_at.stage ^ 1);
      } else {
        if (__any_sync(~0u, fmaxf(rows.sum[0], rows.sum[1]) > kRaiseAbove)) raise_reference<Shape>(rows, scores, sums);
        pack_weights();
      }
      keep = step > 0;
    }
    under_way = true;
    item = next;
  }
}

template <typename Shape>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    attention_kernel(const __grid_constant__ AttentionArguments arguments) {
  extern __shared__ __align__(1024) unsigned char tensors[];
  auto& shared = *reinterpret_cast<AttentionShared<Shape>*>(tensors + Shape::kTensorBytes);
  if (threadIdx.x == 0) {
    constexpr int kConsumerWarps = 4 * Shape::kWarpgroups;
    for (int stage = 0; stage < Shape::kQueryStages; ++stage) {
      barrier_init(&shared.item_full[stage], 1);
      barrier_init(&shared.item_empty[stage], kConsumerWarps);
    }
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
    if constexpr (Shape::kRestRowBytes > 0) {
      prefetch_tensor_map(&arguments.q_rest);
      prefetch_tensor_map(&arguments.k_rest);
    }
  }
  __syncthreads();
  // A single if/else: the compiler then gives each branch the registers that it requests.
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
