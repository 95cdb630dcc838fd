// softmax(q · kᵀ · scale) · v for each head within each segment.
//
// The work is cut into (head, tile) pairs, a tile being at most kTileRows query rows of one segment. A tile walks its
// segment's keys in blocks of kKeys with an online softmax: each block's logits become weights relative to the largest
// logit so far, and what was summed before is scaled down whenever that grows. So memory is fixed for each thread,
// however long a segment is. Logits are kept in base 2: the scale takes up the factor.
//
// Where the device multiplies in bf16, so do both products; the softmax and all sums are f32.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {
namespace {

using namespace operands::attention;

/// A multiple of every tile_rows of the product, and enough rows to outweigh packing keys and values for each tile
/// anew.
constexpr std::size_t kTileRows = 168;
/// As many as a row of `a` holds: a block's weights are the left side of the second product.
constexpr std::size_t kKeys = kDepth;

/// Query rows of one segment.
struct Tile {
  std::uint32_t segment;
  std::uint32_t first_row;
};

std::size_t segment_length(const Matrix<const std::int32_t>& bounds, std::size_t segment) {
  return static_cast<std::size_t>(*bounds.row(segment + 1) - *bounds.row(segment));
}

/// The bounds come from the host with every run, and are checked before they are used.
void check_bounds(const Call& call, const Matrix<const std::int32_t>& bounds, std::size_t patches) {
  if (bounds.rows == 0) {
    if (patches > 0) call.bad_contents("cu_seqlens has no rows, and there are " + std::to_string(patches) + " patches");
    return;
  }
  if (*bounds.row(0) != 0)
    call.bad_contents("cu_seqlens starts at " + std::to_string(*bounds.row(0)) + " instead of 0");
  for (std::size_t i = 1; i < bounds.rows; ++i) {
    if (*bounds.row(i) >= *bounds.row(i - 1)) continue;
    call.bad_contents("cu_seqlens falls from " + std::to_string(*bounds.row(i - 1)) + " to " +
                      std::to_string(*bounds.row(i)) + " at row " + std::to_string(i));
  }
  const std::int32_t total = *bounds.row(bounds.rows - 1);
  if (static_cast<std::size_t>(total) != patches) {
    call.bad_contents("cu_seqlens ends at " + std::to_string(total) + ", and there are " + std::to_string(patches) +
                      " patches");
  }
}

std::size_t list_tiles(const Matrix<const std::int32_t>& bounds, Tile* tiles) {
  std::size_t count = 0;
  for (std::size_t segment = 0; segment + 1 < bounds.rows; ++segment) {
    const std::size_t length = segment_length(bounds, segment);
    for (std::size_t row = 0; row < length; row += kTileRows) {
      tiles[count++] = {static_cast<std::uint32_t>(segment), static_cast<std::uint32_t>(row)};
    }
  }
  return count;
}

/// A thread's working memory, within its scratch.
struct TileScratch {
  float* queries;  // [parts of kDepth][kTileRows, kDepthStride]
  float* weights;  // [kTileRows, kDepthStride]
  float* keys;     // packed [head_size][kKeys]
  float* values;   // packed [kKeys][head_size]
  float* sums;     // [kTileRows, padded head_size]
  float* largest;  // [kTileRows]
  float* totals;   // [kTileRows]

  static std::size_t parts(std::size_t head_size) { return (head_size + kDepth - 1) / kDepth; }

  static std::size_t floats(std::size_t head_size, const Simd& simd) {
    const std::size_t padded = simd.padded_columns(head_size);
    return kTileRows * kDepthStride * (parts(head_size) + 1) + kKeys * (head_size + padded) + kTileRows * (padded + 2);
  }

  TileScratch(float* at, std::size_t head_size, const Simd& simd) {
    const std::size_t padded = simd.padded_columns(head_size);
    const auto take = [&at](std::size_t floats) { return std::exchange(at, at + floats); };
    queries = take(kTileRows * kDepthStride * parts(head_size));
    weights = take(kTileRows * kDepthStride);
    keys = take(kKeys * head_size);
    values = take(kKeys * padded);
    sums = take(kTileRows * padded);
    largest = take(kTileRows);
    totals = take(kTileRows);
  }
};

/// The products of a tile: of floats, or of pairs of bfloat16, whose words hold two elements of the depth.
struct TileProducts {
  const Simd& simd;
  const PairSimd* pairs;

  explicit TileProducts(const Engine& engine)
      : simd(engine.simd), pairs(engine.gemm.pairs ? supported_pairs() : nullptr) {}

  /// Rounds a row of the left side in place, if products are bfloat16.
  void round_row(float* row, std::size_t depth) const {
    if (pairs != nullptr) pairs->round_row(row, depth, row);
  }

  void pack_keys(const float* keys, std::size_t row_stride, std::size_t count, std::size_t depth, float* packed) const {
    const auto pack = pairs == nullptr ? simd.pack_transposed : pairs->pack_transposed;
    pack(keys, DType::f32, row_stride, count, depth, packed);
  }

  void pack_values(const float* values, std::size_t row_stride, std::size_t columns, std::size_t depth,
                   float* packed) const {
    const auto pack = pairs == nullptr ? simd.pack : pairs->pack;
    pack(values, row_stride, columns, depth, packed);
  }

  void multiply(const float* a, std::size_t rows, const float* packed, std::size_t columns, std::size_t depth, float* c,
                std::size_t c_stride, bool accumulate) const {
    if (pairs == nullptr) return simd.multiply(a, rows, packed, columns, depth, c, c_stride, accumulate);
    pairs->multiply(a, rows, packed, columns, (depth + 1) / 2, c, c_stride, accumulate);
  }
};

/// One head of one tile. The matrices start at the head's column, and at the segment's row (k, v) or the tile's (q, y).
struct TileTask {
  Matrix<const float> q;
  Matrix<const float> k;
  Matrix<const float> v;
  Matrix<float> y;
  std::size_t head_size;
  float base2_scale;
};

/// logits = q · kᵀ for one block of keys, into scratch.weights.
void multiply_queries(const TileTask& task, std::size_t first_key, std::size_t keys, const TileProducts& products,
                      const TileScratch& scratch) {
  for (std::size_t p = 0; p < task.head_size; p += kDepth) {
    const std::size_t depth = std::min(kDepth, task.head_size - p);
    products.pack_keys(task.k.row(first_key) + p, task.k.row_stride, keys, depth, scratch.keys);
    products.multiply(scratch.queries + p / kDepth * kTileRows * kDepthStride, task.q.rows, scratch.keys, keys, depth,
                      scratch.weights, kDepthStride, p > 0);
  }
}

void attend(const TileTask& task, const TileProducts& products, const TileScratch& scratch) {
  const Simd& simd = products.simd;
  const std::size_t rows = task.q.rows;
  const std::size_t padded = simd.padded_columns(task.head_size);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t p = 0; p < task.head_size; p += kDepth) {
      float* query = scratch.queries + (p / kDepth * kTileRows + row) * kDepthStride;
      const std::size_t depth = std::min(kDepth, task.head_size - p);
      std::memcpy(query, task.q.row(row) + p, depth * sizeof(float));
      simd.scale_row(query, task.base2_scale, depth);
      products.round_row(query, depth);
    }
  }
  for (std::size_t key = 0; key < task.k.rows; key += kKeys) {
    const std::size_t keys = std::min(kKeys, task.k.rows - key);
    multiply_queries(task, key, keys, products, scratch);
    for (std::size_t row = 0; row < rows; ++row) {
      float& largest = scratch.largest[row];
      const float before = key == 0 ? -std::numeric_limits<float>::infinity() : largest;
      largest = before;
      float* weights = scratch.weights + row * kDepthStride;
      const float total = simd.softmax_step(weights, keys, largest);
      products.round_row(weights, keys);
      if (key == 0) {
        scratch.totals[row] = total;
        continue;
      }
      if (largest != before) {
        const float shrink = std::exp2(before - largest);
        scratch.totals[row] *= shrink;
        simd.scale_row(scratch.sums + row * padded, shrink, task.head_size);
      }
      scratch.totals[row] += total;
    }
    products.pack_values(task.v.row(key), task.v.row_stride, task.head_size, keys, scratch.values);
    products.multiply(scratch.weights, rows, scratch.values, task.head_size, keys, scratch.sums, padded, key > 0);
  }
  for (std::size_t row = 0; row < rows; ++row) {
    const float scale = 1.0f / scratch.totals[row];
    std::memcpy(task.y.row(row), scratch.sums + row * padded, task.head_size * sizeof(float));
    simd.scale_row(task.y.row(row), scale, task.head_size);
  }
}

}  // namespace

/// The tiles: every segment starts one, and every kTileRows rows another.
std::size_t attention_workspace_bytes(const Program& program, const Instruction& instruction) {
  const std::size_t patches = operand_of(program, instruction, Q).rows.at(program.capacities);
  const std::size_t bounds = operand_of(program, instruction, CU_SEQLENS).rows.at(program.capacities);
  return sizeof(Tile) * (patches / kTileRows + std::min(patches, bounds) + 1);
}

std::size_t attention_scratch_bytes(const Program& program, const Instruction& instruction, const Engine& engine) {
  const std::size_t heads = instruction.scalars[0];
  return sizeof(float) * TileScratch::floats(operand_of(program, instruction, Y).columns / heads, engine.simd);
}

void attention(const Call& call) {
  const auto q = call.matrix<const float>(Q);
  const auto k = call.matrix<const float>(K);
  const auto v = call.matrix<const float>(V);
  const auto bounds = call.matrix<const std::int32_t>(CU_SEQLENS);
  const auto y = call.matrix<float>(Y);
  const std::size_t heads = call.count(0);
  const std::size_t head_size = y.columns / heads;
  const auto base2_scale = static_cast<float>(static_cast<double>(call.number(1)) * 1.4426950408889634);
  check_bounds(call, bounds, y.rows);

  Tile* tiles = reinterpret_cast<Tile*>(call.step.workspace);
  const std::size_t tile_count = list_tiles(bounds, tiles);
  call.engine.pool.parallel_for(tile_count * heads, [&](std::size_t chunk, int thread) {
    // A head's tiles are consecutive: the threads then share its keys and values in the outer caches.
    const Tile tile = tiles[chunk % tile_count];
    const std::size_t column = chunk / tile_count * head_size;
    const auto start = static_cast<std::size_t>(*bounds.row(tile.segment));
    const std::size_t length = segment_length(bounds, tile.segment);
    const std::size_t rows = std::min(kTileRows, length - tile.first_row);
    const auto part = [&](const auto& matrix, std::size_t first, std::size_t count) {
      auto view = matrix;
      view.data = matrix.row(first) + column;
      view.rows = count;
      return view;
    };
    const std::size_t first = start + tile.first_row;
    const TileTask task{
        part(q, first, rows), part(k, start, length), part(v, start, length), part(y, first, rows), head_size,
        base2_scale};
    attend(task, TileProducts(call.engine),
           TileScratch(call.thread_scratch<float>(thread), head_size, call.engine.simd));
  });
}

}  // namespace vitgraph::cpu
