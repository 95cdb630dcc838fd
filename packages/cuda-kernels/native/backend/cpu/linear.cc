// y = activation(x · weightᵀ + bias) + residual. The row of the residual is that of y (`linear`), or an index names it
// (`linear_gather_rows`). And `linear_rope`: the rotation of x · weightᵀ + bias.
//
// The product is cut into blocks, which the pool's threads take in turn. A block's sums gather in the thread's scratch,
// over the whole depth, and only finished rows are written to y: so y may be the residual, and rows may be strided.
#include <algorithm>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {
namespace {

enum { X, WEIGHT, BIAS, RESIDUAL };

/// Blocks for each thread at least, so that one that was held up doesn't hold up the others for long.
constexpr std::size_t kBlocksPerThread = 4;

/// For products of which nothing more is to be done.
constexpr auto kFinished = [](std::size_t, std::size_t, std::size_t) {};

Activation activation_of(const Call& call) { return static_cast<Activation>(call.count(0)); }

std::size_t divide_up(std::size_t value, std::size_t by) { return (value + by - 1) / by; }

/// Pieces of at most `most`, all of about one size, each a multiple of `unit`.
std::size_t even_piece(std::size_t total, std::size_t most, std::size_t unit) {
  const std::size_t pieces = std::max<std::size_t>(1, divide_up(total, most));
  return std::min(most, divide_up(divide_up(total, pieces), unit) * unit);
}

/// Rows and columns of the blocks of an m × n product.
struct Blocking {
  std::size_t rows;
  std::size_t columns;

  Blocking(std::size_t m, std::size_t n, const Engine& engine) {
    const auto threads = static_cast<std::size_t>(engine.pool.size());
    const std::size_t tile = engine.simd.tile_columns;
    rows = even_piece(m, engine.gemm.most_rows, engine.simd.tile_rows);
    std::size_t most = engine.gemm.most_columns;
    // Narrower blocks copy the activations more often: worth it only where threads would stand idle.
    while (most > 2 * tile &&
           divide_up(m, rows) * divide_up(n, even_piece(n, most, tile)) < kBlocksPerThread * threads) {
      most = divide_up(most / 2, tile) * tile;
    }
    columns = even_piece(n, most, tile);
  }
};

/// The products, with the bias, the activation and the residual: `residual_row(row)` is where that of a row of y starts, or
/// null. `finish(row, first column, count)` is called for every part of a row that has been written, by the thread that
/// wrote it.
template <typename ResidualRow, typename Finish>
void multiply(const Call& call, const Matrix<float>& y, Activation function, const ResidualRow& residual_row,
              const Finish& finish) {
  const auto x = call.matrix<const float>(X);
  const Operand& weight = call.step.operands[WEIGHT];
  const Operand& bias = call.step.operands[BIAS];
  if (y.rows == 0) return;

  const Blocking blocking(y.rows, y.columns, call.engine);
  const std::size_t row_blocks = divide_up(y.rows, blocking.rows);
  call.engine.pool.parallel_for(
      row_blocks * divide_up(y.columns, blocking.columns), [&](std::size_t chunk, int thread) {
        // Down the rows first: the threads then share a block of weights in the outer caches.
        const std::size_t row = chunk % row_blocks * blocking.rows;
        const std::size_t column = chunk / row_blocks * blocking.columns;
        const std::size_t rows = std::min(blocking.rows, y.rows - row);
        const std::size_t columns = std::min(blocking.columns, y.columns - column);
        float* sums = call.thread_scratch<float>(thread);
        float* bias_row = sums + blocking.rows * blocking.columns;
        float* scratch = bias_row + blocking.columns;
        const std::byte* weight_block = weight.data + column * weight.row_stride * size_of(weight.dtype);
        call.engine.gemm.multiply(
            {x.row(row), x.row_stride, weight_block, weight.dtype, weight.row_stride, rows, columns, x.columns},
            call.engine.simd, scratch, sums, blocking.columns);
        if (call.has(BIAS))
          call.engine.simd.widen(bias.data + column * size_of(bias.dtype), bias.dtype, columns, bias_row);
        for (std::size_t i = 0; i < rows; ++i) {
          const float* residual = residual_row(row + i);
          call.engine.simd.finish_row(sums + i * blocking.columns, call.has(BIAS) ? bias_row : nullptr, function,
                                      residual == nullptr ? nullptr : residual + column, y.row(row + i) + column,
                                      columns);
          finish(row + i, column, columns);
        }
      });
}

}  // namespace

/// A block's sums, its part of the bias, and what the product needs.
std::size_t linear_scratch_bytes(const Program&, const Instruction&, const Engine& engine) {
  const Gemm& gemm = engine.gemm;
  return sizeof(float) * (gemm.most_rows * gemm.most_columns + gemm.most_columns + gemm.scratch_floats);
}

void linear(const Call& call) {
  enum { Y = RESIDUAL + 1 };
  const auto residual = call.matrix<const float>(RESIDUAL);
  multiply(call, call.matrix<float>(Y), activation_of(call),
           [&](std::size_t row) { return call.has(RESIDUAL) ? residual.row(row) : nullptr; }, kFinished);
}

void linear_gather_rows(const Call& call) {
  enum { TABLE = RESIDUAL, INDEX, Y };
  const auto table = call.matrix<const float>(TABLE);
  const auto index = call.matrix<const std::int32_t>(INDEX);
  check_row_index(call, index, table.rows);
  multiply(call, call.matrix<float>(Y), activation_of(call),
           [&](std::size_t row) { return table.row(static_cast<std::size_t>(*index.row(row))); }, kFinished);
}

void linear_rope(const Call& call) {
  enum { POSITIONS = RESIDUAL, ANGLES, Y };
  const auto positions = call.matrix<const std::int32_t>(POSITIONS);
  const auto angles = call.matrix<const float>(ANGLES);
  const auto y = call.matrix<float>(Y);
  const std::size_t turned = y.columns / 3 * 2;
  const std::size_t head_size = y.columns / 3 / call.count(0);
  const std::size_t quarter = head_size / 4;
  check_positions(call, positions, angles.rows);
  // Blocks are multiples of a register's floats wide, so that no pair is torn.
  const auto turn = [&](std::size_t row, std::size_t first, std::size_t count) {
    const float* by_row = angles.row(static_cast<std::size_t>(positions.row(row)[0]));
    const float* by_column = angles.row(static_cast<std::size_t>(positions.row(row)[1]));
    float* values = y.row(row);
    std::size_t in_head = first % head_size;
    for (std::size_t column = first; column < std::min(first + count, turned); column += 2) {
      const std::size_t pair = in_head / 2;
      in_head = in_head + 2 == head_size ? 0 : in_head + 2;
      const float* angle = pair < quarter ? by_row + pair : by_column + (pair - quarter);
      const float a = values[column];
      const float b = values[column + 1];
      values[column] = a * angle[0] - b * angle[quarter];
      values[column + 1] = b * angle[0] + a * angle[quarter];
    }
  };
  multiply(call, y, Activation::none, [](std::size_t) -> const float* { return nullptr; }, turn);
}

}  // namespace vitgraph::cpu
