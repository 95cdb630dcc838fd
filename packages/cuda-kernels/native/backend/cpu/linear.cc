// y = activation(x · weightᵀ + bias) + residual. The row of the residual is that of y (`linear`), or an index names it
// (`linear_gather_rows`). And `linear_rope`: the rotation of x · weightᵀ + bias.
//
// `linear_statistics` also writes the mean of each row of y, and the sum of squared deviations from it, into the first
// two columns of the statistics. `linear_norm` and `linear_norm_rope` read rows through a norm:
// (x · weightᵀ − mean · u) / σ + v.
//
// The product is cut into blocks, which the pool's threads take in turn. A block's sums accumulate in the thread's
// scratch over the whole depth, and only finished rows are written to y: so y may be the residual, and rows may be
// strided.
#include <algorithm>
#include <cmath>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {
namespace {

// The first operands of every product.
using operands::linear::BIAS;
using operands::linear::WEIGHT;
using operands::linear::X;

/// Minimum blocks per thread, so that a delayed thread does not delay the others for long.
constexpr std::size_t kBlocksPerThread = 4;

/// No step after a product, or before its bias.
constexpr auto kFinished = [](std::size_t, std::size_t, std::size_t) {};
constexpr auto kAsTheyAre = [](float*, std::size_t, std::size_t, std::size_t) {};

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
    // Narrower blocks copy the activations more often: worth it only if threads would idle.
    while (most > 2 * tile &&
           divide_up(m, rows) * divide_up(n, even_piece(n, most, tile)) < kBlocksPerThread * threads) {
      most = divide_up(most / 2, tile) * tile;
    }
    columns = even_piece(n, most, tile);
  }
};

/// The product with its bias, activation and residual. `residual_row(row)` is the start of the residual of a row of y, or
/// null. `prepare(sums, row, first column, count)` is called for every part of a row before the bias, and
/// `finish(row, first column, count)` after the part was written, on the same thread.
template <typename ResidualRow, typename Prepare, typename Finish>
void multiply(const Call& call, const Matrix<float>& y, std::size_t bias_operand, Activation function,
              const ResidualRow& residual_row, const Prepare& prepare, const Finish& finish) {
  const auto x = call.matrix<const float>(X);
  const Operand& weight = call.step.operands[WEIGHT];
  const Operand& bias = call.step.operands[bias_operand];
  if (y.rows == 0) return;

  const Blocking blocking(y.rows, y.columns, call.engine);
  const std::size_t row_blocks = divide_up(y.rows, blocking.rows);
  call.engine.pool.parallel_for(row_blocks * divide_up(y.columns, blocking.columns), [&](std::size_t chunk,
                                                                                         int thread) {
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
    if (call.has(bias_operand))
      call.engine.simd.widen(bias.data + column * size_of(bias.dtype), bias.dtype, columns, bias_row);
    for (std::size_t i = 0; i < rows; ++i) {
      const float* residual = residual_row(row + i);
      prepare(sums + i * blocking.columns, row + i, column, columns);
      call.engine.simd.finish_row(sums + i * blocking.columns, call.has(bias_operand) ? bias_row : nullptr, function,
                                  residual == nullptr ? nullptr : residual + column, y.row(row + i) + column, columns);
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
  using namespace operands::linear;
  const auto residual = call.matrix<const float>(RESIDUAL);
  multiply(
      call, call.matrix<float>(Y), BIAS, activation_of(call),
      [&](std::size_t row) { return call.has(RESIDUAL) ? residual.row(row) : nullptr; }, kAsTheyAre, kFinished);
}

void linear_gather_rows(const Call& call) {
  using namespace operands::linear_gather_rows;
  const auto table = call.matrix<const float>(TABLE);
  const auto index = call.matrix<const std::int32_t>(INDEX);
  check_row_index(call, index, table.rows);
  multiply(
      call, call.matrix<float>(Y), BIAS, activation_of(call),
      [&](std::size_t row) { return table.row(static_cast<std::size_t>(*index.row(row))); }, kAsTheyAre, kFinished);
}

namespace {

/// The mean and the squares of each row.
void check_statistics(const Call& call, std::size_t columns) {
  if (columns < 2) call.bad_contents("statistics have " + std::to_string(columns) + " columns, expected at least 2");
}

}  // namespace

void linear_statistics(const Call& call) {
  using namespace operands::linear_statistics;
  const auto residual = call.matrix<const float>(RESIDUAL);
  const auto table = call.matrix<const float>(TABLE);
  const auto index = call.matrix<const std::int32_t>(INDEX);
  const auto statistics = call.matrix<float>(STATISTICS);
  const auto y = call.matrix<float>(Y);
  if (call.has(INDEX) != call.has(TABLE)) call.bad_contents("a table and an index come together");
  check_statistics(call, statistics.columns);
  if (call.has(INDEX)) check_row_index(call, index, table.rows);
  multiply(
      call, y, BIAS, Activation::none,
      [&](std::size_t row) -> const float* {
        if (call.has(INDEX)) return table.row(static_cast<std::size_t>(*index.row(row)));
        return call.has(RESIDUAL) ? residual.row(row) : nullptr;
      },
      kAsTheyAre, kFinished);
  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    const float* values = y.row(row);
    double sum = 0;
    for (std::size_t i = 0; i < y.columns; ++i) sum += values[i];
    const double mean = sum / static_cast<double>(y.columns);
    double squares = 0;
    for (std::size_t i = 0; i < y.columns; ++i) squares += (values[i] - mean) * (values[i] - mean);
    statistics.row(row)[0] = static_cast<float>(mean);
    statistics.row(row)[1] = static_cast<float>(squares);
  });
}

namespace {

/// As `rope`, but with adjacent columns as pairs, in the part of a row of y that a thread has written. Blocks are
/// multiples of a vector wide, so no pair is split.
struct ApplyRope {
  Matrix<const std::int32_t> positions;
  Matrix<const float> angles;
  Matrix<float> y;
  std::size_t head_size;

  ApplyRope(const Call& call, std::size_t positions_operand, std::size_t y_operand)
      : positions(call.matrix<const std::int32_t>(positions_operand)),
        angles(call.matrix<const float>(positions_operand + 1)),
        y(call.matrix<float>(y_operand)),
        head_size(y.columns / 3 / call.count(0)) {
    check_positions(call, positions, angles.rows);
  }

  void operator()(std::size_t row, std::size_t first, std::size_t count) const {
    const std::size_t rotated = y.columns / 3 * 2;
    const std::size_t quarter = head_size / 4;
    const float* by_row = angles.row(static_cast<std::size_t>(positions.row(row)[0]));
    const float* by_column = angles.row(static_cast<std::size_t>(positions.row(row)[1]));
    float* values = y.row(row);
    std::size_t in_head = first % head_size;
    for (std::size_t column = first; column < std::min(first + count, rotated); column += 2) {
      const std::size_t pair = in_head / 2;
      in_head = in_head + 2 == head_size ? 0 : in_head + 2;
      const float* angle = pair < quarter ? by_row + pair : by_column + (pair - quarter);
      const float a = values[column];
      const float b = values[column + 1];
      values[column] = a * angle[0] - b * angle[quarter];
      values[column + 1] = b * angle[0] + a * angle[quarter];
    }
  }
};

constexpr auto kNoResidual = [](std::size_t) -> const float* { return nullptr; };

// Of both kernels with a norm.
using operands::linear_norm::STATISTICS;
using operands::linear_norm::U;
using operands::linear_norm::V;

/// (sums − mean · u) / σ, before v is added as a bias is. The mean and σ are merged from those of the rows that are joined.
struct Normalise {
  Matrix<const float> statistics;
  const float* u;
  std::size_t rows;
  std::size_t columns;
  bool centred;
  float epsilon;

  Normalise(const Call& call, const Matrix<float>& y)
      : statistics(call.matrix<const float>(STATISTICS)),
        u(call.matrix<const float>(U).data),
        rows(y.rows),
        columns(call.matrix<const float>(X).columns),
        centred(call.count(1) == 1),
        epsilon(call.number(2)) {
    check_statistics(call, statistics.columns);
    const bool whole = rows == 0 || (statistics.rows >= rows && statistics.rows % rows == 0 &&
                                     columns % (statistics.rows / rows) == 0);
    if (!whole) call.bad_contents("the rows of statistics do not divide into those of x");
  }

  void operator()(float* sums, std::size_t row, std::size_t first, std::size_t count) const {
    const std::size_t joined = statistics.rows / rows;
    const double each = static_cast<double>(columns / joined);
    double mean = 0;
    for (std::size_t i = 0; i < joined; ++i) mean += statistics.row(row * joined + i)[0] / static_cast<double>(joined);
    double squares = 0;
    for (std::size_t i = 0; i < joined; ++i) {
      const float* of_row = statistics.row(row * joined + i);
      const double distance = of_row[0] - (centred ? mean : 0);
      squares += of_row[1] + each * distance * distance;
    }
    const auto scale = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(columns) + epsilon));
    const auto shift = static_cast<float>(centred ? mean : 0);
    for (std::size_t i = 0; i < count; ++i) sums[i] = (sums[i] - shift * u[first + i]) * scale;
  }
};

}  // namespace

void linear_rope(const Call& call) {
  using namespace operands::linear_rope;
  const auto y = call.matrix<float>(Y);
  multiply(call, y, BIAS, Activation::none, kNoResidual, kAsTheyAre, ApplyRope(call, POSITIONS, Y));
}

void linear_norm(const Call& call) {
  using namespace operands::linear_norm;
  const auto y = call.matrix<float>(Y);
  multiply(call, y, V, activation_of(call), kNoResidual, Normalise(call, y), kFinished);
}

void linear_norm_rope(const Call& call) {
  using namespace operands::linear_norm_rope;
  const auto y = call.matrix<float>(Y);
  multiply(call, y, V, Activation::none, kNoResidual, Normalise(call, y), ApplyRope(call, POSITIONS, Y));
}

}  // namespace vitgraph::cpu
