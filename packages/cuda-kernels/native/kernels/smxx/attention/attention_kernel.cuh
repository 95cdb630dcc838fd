// Varlen attention for compute capability 8.0 and newer: y = softmax(q · kᵀ · scale) · v, head by head, segment by
// segment, in one pass over the keys with a running maximum.
//
// Template    kHeadSize: a multiple of 8. Its last 8 columns take a k8 product, so nothing is rounded up to 16.
//             kRowBlocks: blocks of 16 query rows per warp. With two, every fragment of K and V is used twice.
// Grid        one block per item (attention_tiles.h) of the capacity. Blocks beyond the real items exit at once.
// Block       4 warps; a tile has 4 · 16 · kRowBlocks query rows.
// Shared      the tile's Q, and two buffers of kKeyRows rows of K and V each. Rows are padded by 16 bytes if
//             their pitch would cause bank conflicts between the 8 rows of a matrix (72 columns need no padding).
// Assumes     rows of q, k and v aligned to 16 bytes, y to 4; the tile table lies inside the buffers.
// Numerics    bf16 products with f32 sums; the softmax in f32, with exp2 and the scale folded into it; its weights are
//             rounded to bf16 before the second product, and the sum of weights is taken before that rounding.
//             Keys beyond a segment are read as zeros and get the weight 0, so stale rows never reach a result.
#pragma once

#include "kernels/common/attention.h"
#include "kernels/common/device.cuh"
#include "kernels/smxx/common/mma.cuh"

namespace vitgraph::kernels::smxx {

template <int kHeadSize_, int kRowBlocks_>
struct AttentionShape {
  static constexpr int kHeadSize = kHeadSize_;
  static constexpr int kRowBlocks = kRowBlocks_;
  static constexpr int kWarps = 4;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kWarpRows = 16 * kRowBlocks;
  static constexpr int kTileRows = kWarps * kWarpRows;
  /// Chosen to fit the 99 KiB of shared memory per block of compute capability 8.6, 8.9 and 12.0.
  static constexpr int kKeyRows = kHeadSize <= 96 ? 64 : 32;
  /// Elements from one shared row to the next: an odd number of 16-byte units, so that 8 rows fall into 8 bank groups.
  static constexpr int kPitch = kHeadSize / 8 % 2 == 1 ? kHeadSize : kHeadSize + 8;
  static constexpr int kFullSteps = kHeadSize / 16;
  static constexpr bool kHalfStep = kHeadSize % 16 == 8;
  static constexpr int kColumnBlocks = kHeadSize / 8;
  /// Above 80 columns, Q's fragments and the sums exceed the registers: Q is loaded again for every block of keys.
  static constexpr bool kQueryStays = kHeadSize <= 80;
  static constexpr std::size_t kSharedBytes = sizeof(Bf16) * kPitch * (kTileRows + 4 * kKeyRows);
};

/// Starts copying `kRows` rows of one head to shared memory; rows from `real` on become zeros.
template <typename Shape, int kRows>
__device__ __forceinline__ void copy_rows_async(std::uint32_t to, const View<const Bf16>& from, int first, int real,
                                                int column) {
  constexpr int kChunks = Shape::kHeadSize / 8;
  constexpr int kCopies = kRows * kChunks;
#pragma unroll
  for (int i = 0; i < (kCopies + Shape::kThreads - 1) / Shape::kThreads; ++i) {
    const int copy = i * Shape::kThreads + static_cast<int>(threadIdx.x);
    if (kCopies % Shape::kThreads != 0 && copy >= kCopies) break;
    const int row = copy / kChunks;
    const int chunk = copy % kChunks;
    // The address must be valid even for a padding row.
    const Bf16* source = from.data + static_cast<std::int64_t>(first + (row < real ? row : 0)) * from.row_stride;
    copy_16_async(to + (row * Shape::kPitch + chunk * 8) * sizeof(Bf16), source + column + chunk * 8,
                  row < real ? 16 : 0);
  }
}

template <typename Shape>
__global__ void __launch_bounds__(Shape::kThreads) attention_kernel(const AttentionOperands operands) {
  constexpr int kRowBlocks = Shape::kRowBlocks;
  constexpr int kKeyBlocks = Shape::kKeyRows / 8;
  constexpr int kPitchBytes = Shape::kPitch * sizeof(Bf16);
  await_previous_kernels();
  const int number = static_cast<int>(blockIdx.x);
  if (number >= real_rows(operands.tile_count) * operands.heads) return;
  const AttentionItem item = attention_item(operands.tiles, number, operands.heads);
  const int lane = threadIdx.x % 32;
  const int warp_row = static_cast<int>(threadIdx.x) / 32 * Shape::kWarpRows;
  const int column = item.head * Shape::kHeadSize;

  extern __shared__ __align__(128) unsigned char shared[];
  const std::uint32_t q_shared = shared_address(shared);
  const std::uint32_t k_shared = q_shared + Shape::kTileRows * kPitchBytes;
  const std::uint32_t v_shared = k_shared + 2 * Shape::kKeyRows * kPitchBytes;
  const int steps = divide_up(item.segment_length, Shape::kKeyRows);
  const auto copy_keys = [&](int step) {
    const int first = step * Shape::kKeyRows;
    const std::uint32_t buffer = step % 2 * Shape::kKeyRows * kPitchBytes;
    const int real = item.segment_length - first;
    copy_rows_async<Shape, Shape::kKeyRows>(k_shared + buffer, operands.k, item.segment_start + first, real, column);
    copy_rows_async<Shape, Shape::kKeyRows>(v_shared + buffer, operands.v, item.segment_start + first, real, column);
    commit_copies();
  };
  copy_rows_async<Shape, Shape::kTileRows>(q_shared, operands.q, item.segment_start + item.first_row, item.rows,
                                           column);
  copy_keys(0);

  // Addresses of this lane's row for ldmatrix. Matrix order for A (and V, transposed): 16 rows, then the next 8
  // columns. For B of the first product: 8 rows, the next 8 columns, then the next 8 rows.
  const std::uint32_t q_lane = q_shared + (warp_row + lane % 16) * kPitchBytes + lane / 16 * 16;
  const std::uint32_t k_lane = k_shared + (lane % 8 + lane / 16 * 8) * kPitchBytes + lane / 8 % 2 * 16;
  const std::uint32_t k_half_lane = k_shared + lane * kPitchBytes + Shape::kFullSteps * 32;
  const std::uint32_t v_lane = v_shared + lane % 16 * kPitchBytes + lane / 16 * 16;

  constexpr int kHeldSteps = Shape::kQueryStays ? Shape::kFullSteps : 1;
  std::uint32_t q[kHeldSteps][kRowBlocks][4];
  std::uint32_t q_half[kRowBlocks][2];
  float sums[kRowBlocks][Shape::kColumnBlocks][4] = {};
  float row_max[kRowBlocks][2];
  float row_sum[kRowBlocks][2] = {};
#pragma unroll
  for (int r = 0; r < kRowBlocks; ++r) row_max[r][0] = row_max[r][1] = -INFINITY;
  const float scale = operands.scale * 1.4426950408889634f;  // softmax in powers of two

  for (int step = 0; step < steps; ++step) {
    wait_for_copies<0>();
    __syncthreads();
    if (step + 1 < steps) copy_keys(step + 1);
    const std::uint32_t buffer = step % 2 * Shape::kKeyRows * kPitchBytes;
    if (step == 0) {
#pragma unroll
      for (int r = 0; r < kRowBlocks; ++r) {
        if constexpr (Shape::kQueryStays) {
#pragma unroll
          for (int k = 0; k < Shape::kFullSteps; ++k) load_matrices(q[k][r], q_lane + r * 16 * kPitchBytes + k * 32);
        }
        if constexpr (Shape::kHalfStep) {
          load_matrices(q_half[r], q_lane - lane / 16 * 16 + r * 16 * kPitchBytes + Shape::kFullSteps * 32);
        }
      }
    }

    float scores[kRowBlocks][kKeyBlocks][4] = {};
#pragma unroll
    for (int k = 0; k < Shape::kFullSteps; ++k) {
      const int held = Shape::kQueryStays ? k : 0;
      if constexpr (!Shape::kQueryStays) {
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) load_matrices(q[0][r], q_lane + r * 16 * kPitchBytes + k * 32);
      }
#pragma unroll
      for (int n = 0; n < kKeyBlocks; n += 2) {
        std::uint32_t keys[4];
        load_matrices(keys, k_lane + buffer + n * 8 * kPitchBytes + k * 32);
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) {
          multiply_add(scores[r][n], q[held][r], keys[0], keys[1]);
          multiply_add(scores[r][n + 1], q[held][r], keys[2], keys[3]);
        }
      }
    }
    if constexpr (Shape::kHalfStep) {
#pragma unroll
      for (int n = 0; n < kKeyBlocks; n += 4) {
        std::uint32_t keys[4];
        load_matrices(keys, k_half_lane + buffer + n * 8 * kPitchBytes);
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) {
#pragma unroll
          for (int i = 0; i < 4; ++i) multiply_add(scores[r][n + i], q_half[r], keys[i]);
        }
      }
    }

    const int real = item.segment_length - step * Shape::kKeyRows;
    if (real < Shape::kKeyRows) {
#pragma unroll
      for (int n = 0; n < kKeyBlocks; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const bool masked = n * 8 + lane % 4 * 2 + i % 2 >= real;
#pragma unroll
          for (int r = 0; r < kRowBlocks; ++r) scores[r][n][i] = masked ? -INFINITY : scores[r][n][i];
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kRowBlocks; ++r) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float largest = row_max[r][half];
#pragma unroll
        for (int n = 0; n < kKeyBlocks; ++n) {
          largest = fmaxf(largest, fmaxf(scores[r][n][2 * half], scores[r][n][2 * half + 1]));
        }
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
        const float shrink = exp2_approximate((row_max[r][half] - largest) * scale);
        row_max[r][half] = largest;
        const float shift = largest * scale;
        float sum = 0;
#pragma unroll
        for (int n = 0; n < kKeyBlocks; ++n) {
#pragma unroll
          for (int i = 2 * half; i < 2 * half + 2; ++i) {
            scores[r][n][i] = exp2_approximate(scores[r][n][i] * scale - shift);
            sum += scores[r][n][i];
          }
        }
        row_sum[r][half] = row_sum[r][half] * shrink + sum;
#pragma unroll
        for (int c = 0; c < Shape::kColumnBlocks; ++c) {
          sums[r][c][2 * half] *= shrink;
          sums[r][c][2 * half + 1] *= shrink;
        }
      }
    }

#pragma unroll
    for (int k = 0; k < Shape::kKeyRows / 16; ++k) {
      std::uint32_t weights[kRowBlocks][4];
#pragma unroll
      for (int r = 0; r < kRowBlocks; ++r) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float* pair = &scores[r][2 * k + i / 2][i % 2 * 2];
          weights[r][i] = pack_bf16(pair[0], pair[1]);
        }
      }
      const std::uint32_t v_rows = v_lane + buffer + k * 16 * kPitchBytes;
#pragma unroll
      for (int c = 0; c + 1 < Shape::kColumnBlocks; c += 2) {
        std::uint32_t values[4];
        load_matrices_transposed(values, v_rows + c * 16);
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) {
          multiply_add(sums[r][c], weights[r], values[0], values[1]);
          multiply_add(sums[r][c + 1], weights[r], values[2], values[3]);
        }
      }
      if constexpr (Shape::kColumnBlocks % 2 == 1) {
        constexpr int c = Shape::kColumnBlocks - 1;
        std::uint32_t values[2];
        load_matrices_transposed(values, v_rows - lane / 16 * 16 + c * 16);
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) multiply_add(sums[r][c], weights[r], values[0], values[1]);
      }
    }
  }

#pragma unroll
  for (int r = 0; r < kRowBlocks; ++r) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = row_sum[r][half];
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      const float normalize = 1.0f / sum;
      const int row = warp_row + r * 16 + half * 8 + lane / 4;
      if (row >= item.rows) continue;
      Bf16* out = operands.y.data +
                  static_cast<std::int64_t>(item.segment_start + item.first_row + row) * operands.y.row_stride +
                  column + lane % 4 * 2;
#pragma unroll
      for (int c = 0; c < Shape::kColumnBlocks; ++c) {
        *reinterpret_cast<std::uint32_t*>(out + c * 8) =
            pack_bf16(sums[r][c][2 * half] * normalize, sums[r][c][2 * half + 1] * normalize);
      }
    }
  }
}

}  // namespace vitgraph::kernels::smxx
