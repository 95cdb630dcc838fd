// Prologue and epilogue of a linear layer: bias, rotation, activation, residual, stores. The accumulator layout is that
// of both mma.sync and wgmma: lane l has columns 8 j + 2 (l mod 4) and the next of row l / 4.
//
// Numerics: all in f32, rounded once at the end. A rotation is applied to the rounded sums and rounded again, as a
// separate pass would do, so that fused and separate rotations give the same results.
#pragma once

#include "kernels/common/device.cuh"
#include "kernels/common/linear.h"

namespace vitgraph::kernels {

/// Swaps word i of thread t of a quad with word t of thread i. For a quad's sums of four blocks of 8 columns, this
/// converts 4 bytes of every block to 16 bytes of one, and back.
__device__ __forceinline__ void transpose_quad(std::uint32_t (&words)[4]) {
  const bool odd = threadIdx.x & 1;
  const bool high = threadIdx.x & 2;
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const std::uint32_t received = __shfl_xor_sync(~0u, odd ? words[i] : words[i + 1], 1);
    words[i] = odd ? received : words[i];
    words[i + 1] = odd ? words[i + 1] : received;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const std::uint32_t received = __shfl_xor_sync(~0u, high ? words[i] : words[i + 2], 2);
    words[i] = high ? received : words[i];
    words[i + 2] = high ? words[i + 2] : received;
  }
}

/// Initial value of the sums: this lane's two columns of the bias in the block of 8 columns at `column`.
template <bool kVectors>
__device__ __forceinline__ float2 load_bias(const LinearOperands& operands, int column) {
  const int at = column + static_cast<int>(threadIdx.x) % 4 * 2;
  if (operands.bias == nullptr) return {};
  if constexpr (kVectors) {
    return at < operands.columns ? unpack_bf16(__ldg(reinterpret_cast<const std::uint32_t*>(operands.bias + at)))
                                 : float2{};
  } else {
    return {at < operands.columns ? __bfloat162float(operands.bias[at]) : 0.0f,
            at + 1 < operands.columns ? __bfloat162float(operands.bias[at + 1]) : 0.0f};
  }
}

/// The residual of a real row of y.
__device__ __forceinline__ const Bf16* residual_of(const LinearOperands& operands, int row) {
  const std::int64_t from = operands.residual_rows == nullptr ? row : __ldg(operands.residual_rows + row);
  return operands.residual.data + from * operands.residual.row_stride;
}

/// A row's two entries in the cos/sin table: for its row position and for its column position.
struct RowTurns {
  int by_row;
  int by_column;
};

__device__ __forceinline__ RowTurns find_turns(const LinearRotation& rotation, int row, bool row_is_real) {
  // Positions of padding rows must not be used as indices; the first position is always real.
  const std::int32_t* position = rotation.positions.data + (row_is_real ? row : 0) * rotation.positions.row_stride;
  const int stride = static_cast<int>(rotation.angles.row_stride);
  return {__ldg(position) * stride, __ldg(position + 1) * stride};
}

/// Rotates two pairs of a head, `pair` and the next: `words` are their bf16 elements.
__device__ __forceinline__ void turn_pairs(const LinearRotation& rotation, const RowTurns& turns, int pair,
                                           std::uint32_t& first, std::uint32_t& second) {
  // Each half of a head has an even number of pairs, so both pairs use the same axis.
  const int quarter = rotation.head_size / 4;
  const float* angle = rotation.angles.data + (pair < quarter ? turns.by_row + pair : turns.by_column + pair - quarter);
  const float2 cosines = __ldg(reinterpret_cast<const float2*>(angle));
  const float2 sines = __ldg(reinterpret_cast<const float2*>(angle + quarter));
  const float2 a = unpack_bf16(first);
  const float2 b = unpack_bf16(second);
  first = pack_bf16(a.x * cosines.x - a.y * sines.x, a.y * cosines.x + a.x * sines.x);
  second = pack_bf16(b.x * cosines.y - b.y * sines.y, b.y * cosines.y + b.x * sines.y);
}

/// Sums over the four lanes of a quad, in all of them.
__device__ __forceinline__ float sum_over_quad(float value) {
  value += __shfl_xor_sync(~0u, value, 1);
  return value + __shfl_xor_sync(~0u, value, 2);
}

/// The statistics of a row's `width` columns from `first_column` on; `words` are this lane's, as rounded. Two passes
/// over the registers: a difference of mean squares would cancel.
template <int kGroups>
__device__ __forceinline__ void write_statistics(const LinearOperands& operands, int row, bool row_is_real,
                                                 int first_column, int width,
                                                 const std::uint32_t (&words)[kGroups][4]) {
  const int columns = min(operands.columns - first_column, width);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 4 * kGroups; ++i) {
    const float2 pair = unpack_bf16(words[i / 4][i % 4]);
    if (8 * i < columns) sum += pair.x + pair.y;
  }
  const float mean = sum_over_quad(sum) / static_cast<float>(columns);
  float squares = 0;
#pragma unroll
  for (int i = 0; i < 4 * kGroups; ++i) {
    float2 pair = unpack_bf16(words[i / 4][i % 4]);
    pair.x -= mean;
    pair.y -= mean;
    if (8 * i < columns) squares += pair.x * pair.x + pair.y * pair.y;
  }
  squares = sum_over_quad(squares);
  if (threadIdx.x % 4 != 0 || !row_is_real || columns <= 0) return;
  auto* pieces = reinterpret_cast<float2*>(operands.statistics.data + 4);
  pieces[first_column / width * operands.statistics.row_pitch + row] = {mean, squares};
}

/// Called by one thread of the grid: stores the piece width for the readers of the statistics.
__device__ __forceinline__ void write_statistics_width(const LinearOperands& operands, int width) {
  operands.statistics.data[0] = __int_as_float(width);
}

/// Bypasses L1: an earlier kernel wrote the width. During autotuning there may have been no writer, and loops over the
/// pieces must still terminate.
__device__ __forceinline__ int load_statistics_width(const LinearNorm& norm) {
  return min(max(__float_as_int(__ldcg(norm.statistics.data)), kLeastStatisticsWidth), 1 << 16);
}

/// A row's norm: (x · weightᵀ − mean · u) · scale + v.
struct RowNorm {
  float mean;
  float scale;
};

/// Merges the statistics of a real row of x, kBatch pieces of `width` columns at once to hide L2 latency. The first
/// piece's mean is the provisional mean of the row: the pieces' means around it cancel by at most the number of pieces.
template <int kBatch>
__device__ __forceinline__ RowNorm find_norm(const LinearNorm& norm, int row, int inner, int width) {
  const int columns = inner / norm.joined_rows;
  const auto* pieces_of = reinterpret_cast<const float2*>(norm.statistics.data + 4);
  float first = 0;
  float sum = 0;
  float squares = 0;
#pragma unroll 1
  for (int joined = 0; joined < norm.joined_rows; ++joined) {
#pragma unroll 1
    for (int at = 0, piece = 0; at < columns; at += kBatch * width, piece += kBatch) {
      float2 pieces[kBatch]{};
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if (at + i * width < columns) {
          pieces[i] = __ldcg(pieces_of + (piece + i) * norm.statistics.row_pitch + row * norm.joined_rows + joined);
        }
      }
      if (joined == 0 && at == 0) first = pieces[0].x;
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const float count = static_cast<float>(max(min(columns - at - i * width, width), 0));
        const float distance = pieces[i].x - first;
        sum += count * distance;
        squares += pieces[i].y + count * distance * distance;
      }
    }
  }
  const float share = 1.0f / static_cast<float>(inner);
  const float offset = sum * share;
  const float variance = fmaxf(squares * share - offset * offset, 0);
  const float mean = first + offset;
  return norm.centred ? RowNorm{mean, 1.0f / sqrtf(variance + norm.epsilon)}
                      : RowNorm{0, 1.0f / sqrtf(variance + mean * mean + norm.epsilon)};
}

/// This lane's two columns of a norm's vector in the block of 8 columns at `column`.
__device__ __forceinline__ float2 load_norm_vector(const float* vector, int column, int columns) {
  const int at = column + static_cast<int>(threadIdx.x) % 4 * 2;
  return at < columns ? __ldg(reinterpret_cast<const float2*>(vector + at)) : float2{};
}

/// Finishes 32 · kGroups columns of a row, up to `end_column`, a multiple of 8: `sums[g]` are this lane's columns of
/// the g-th four blocks of 8, bias included. Called by whole warps. kVectors: columns are a multiple of 8, rows of y
/// and residual are aligned to 16 bytes. kRotate: apply RoPE, with this row's `turns`. kStatistics: width of the row's
/// piece whose statistics are also written; 0 for none. kResidualGroups: groups of residual loaded at once (more need
/// more registers); 0 without a residual.
template <Activation kActivation, bool kVectors, bool kRotate, int kResidualGroups = 8, int kStatistics = 0,
          int kGroups>
__device__ __forceinline__ void finish_row(const LinearOperands& operands, int row, bool row_is_real, int first_column,
                                           int end_column, const float (&sums)[kGroups][8], const RowTurns& turns) {
  const int quad_lane = static_cast<int>(threadIdx.x) % 4;
  if constexpr (kVectors) {
    const int first = first_column + 8 * quad_lane;
    const int groups = row_is_real ? divide_up(max(min(operands.columns, end_column) - first, 0), 32) : 0;
    const bool with_residual = kResidualGroups > 0 && operands.residual.data != nullptr;
    uint4 residual[kGroups] = {};
    const auto load_residual = [&](int from_group) {
      if (!with_residual || groups <= from_group) return;
      const auto* from = reinterpret_cast<const uint4*>(residual_of(operands, row) + first);
#pragma unroll
      for (int group = from_group; group < kGroups && group < from_group + kResidualGroups; ++group) {
        if (group < groups) residual[group] = from[4 * group];
      }
    };
    auto* y = reinterpret_cast<uint4*>(operands.y.data + row * operands.y.row_stride + first);
    std::uint32_t rounded[kGroups][4];
    int in_head = kRotate ? first % operands.rotation.head_size : 0;
    const int head_step = kRotate ? 32 % operands.rotation.head_size : 0;
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      if (kResidualGroups > 0 && group % max(kResidualGroups, 1) == 0) load_residual(group);
      float values[8];
#pragma unroll
      for (int i = 0; i < 8; ++i) values[i] = activate<kActivation>(sums[group][i]);
      std::uint32_t words[4];
      if (with_residual) {
        const uint4& from = residual[group];
        words[0] = from.x;
        words[1] = from.y;
        words[2] = from.z;
        words[3] = from.w;
        transpose_quad(words);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const float2 pair = unpack_bf16(words[j]);
          values[2 * j] += pair.x;
          values[2 * j + 1] += pair.y;
        }
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) words[j] = pack_bf16(values[2 * j], values[2 * j + 1]);
      if constexpr (kStatistics != 0) {
#pragma unroll
        for (int j = 0; j < 4; ++j) rounded[group][j] = words[j];
      }
      transpose_quad(words);
      if constexpr (kRotate) {
        // Columns without rotation are rotated and discarded: without a branch, loads of the next group's angles
        // overlap this group's rotation.
        std::uint32_t turned[4] = {words[0], words[1], words[2], words[3]};
        turn_pairs(operands.rotation, turns, in_head / 2, turned[0], turned[1]);
        turn_pairs(operands.rotation, turns, in_head / 2 + 2, turned[2], turned[3]);
        const bool turns_here = first + 32 * group < operands.rotation.columns;
#pragma unroll
        for (int j = 0; j < 4; ++j) words[j] = turns_here ? turned[j] : words[j];
        in_head += head_step;
        if (in_head >= operands.rotation.head_size) in_head -= operands.rotation.head_size;
      }
      if (group < groups) y[4 * group] = uint4{words[0], words[1], words[2], words[3]};
    }
    if constexpr (kStatistics != 0) write_statistics(operands, row, row_is_real, first_column, kStatistics, rounded);
  } else {
    if (!row_is_real) return;
    const Bf16* residual = operands.residual.data == nullptr ? nullptr : residual_of(operands, row);
    Bf16* y = operands.y.data + row * operands.y.row_stride;
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int at = first_column + group * 32 + i / 2 * 8 + quad_lane * 2 + i % 2;
        if (at >= min(operands.columns, end_column)) continue;
        if constexpr (kRotate) {
          if (at < operands.rotation.columns) {
            if (i % 2 == 0) {
              std::uint32_t pair = pack_bf16(sums[group][i], sums[group][i + 1]);
              std::uint32_t unused = 0;
              const int in_head = at % operands.rotation.head_size / 2;
              // Pairs are rotated two at a time, starting at an even one; here one of them is missing.
              if (in_head % 2 == 0) {
                turn_pairs(operands.rotation, turns, in_head, pair, unused);
              } else {
                turn_pairs(operands.rotation, turns, in_head - 1, unused, pair);
              }
              const float2 turned = unpack_bf16(pair);
              y[at] = __float2bfloat16_rn(turned.x);
              y[at + 1] = __float2bfloat16_rn(turned.y);
            }
            continue;
          }
        }
        const float extra = residual == nullptr ? 0 : __bfloat162float(residual[at]);
        y[at] = __float2bfloat16_rn(activate<kActivation>(sums[group][i]) + extra);
      }
    }
  }
}

}  // namespace vitgraph::kernels
