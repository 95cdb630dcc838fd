// Two-dimensional rotary embedding: `rope` on every head of x, `rope_qk` on the query and key thirds of qkv.
#include <algorithm>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {
namespace {

// Of both kernels: `x` is called `qkv` in rope_qk.
using namespace operands::rope;
static_assert(operands::rope_qk::QKV == X && operands::rope_qk::POSITIONS == POSITIONS &&
              operands::rope_qk::ANGLES == ANGLES && operands::rope_qk::Y == Y);

/// `first` and `second` are the halves of a head; pair i is (first[i], second[i]).
void rotate(const float* first, const float* second, const float* angles, std::size_t pairs, std::size_t quarter,
            float* first_out, float* second_out) {
  const float* cosines = angles;
  const float* sines = angles + quarter;
  for (std::size_t i = 0; i < pairs; ++i) {
    const float a = first[i];
    const float b = second[i];
    first_out[i] = a * cosines[i] - b * sines[i];
    second_out[i] = b * cosines[i] + a * sines[i];
  }
}

/// Rotates the first `parts` of the `all_parts` equal column ranges of x, each of `heads` heads; copies the others.
void rotate_parts(const Call& call, std::size_t parts, std::size_t all_parts) {
  const auto x = call.matrix<const float>(X);
  const auto positions = call.matrix<const std::int32_t>(POSITIONS);
  const auto angles = call.matrix<const float>(ANGLES);
  const auto y = call.matrix<float>(Y);
  const std::size_t heads = call.count(0) * parts;
  const std::size_t head_size = y.columns / all_parts / call.count(0);
  const std::size_t quarter = head_size / 4;
  check_positions(call, positions, angles.rows);
  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    const float* by_row = angles.row(static_cast<std::size_t>(positions.row(row)[0]));
    const float* by_column = angles.row(static_cast<std::size_t>(positions.row(row)[1]));
    const float* in = x.row(row);
    float* out = y.row(row);
    for (std::size_t head = 0; head < heads; ++head) {
      const std::size_t first = head * head_size;
      const std::size_t second = first + 2 * quarter;
      rotate(in + first, in + second, by_row, quarter, quarter, out + first, out + second);
      rotate(in + first + quarter, in + second + quarter, by_column, quarter, quarter, out + first + quarter,
             out + second + quarter);
    }
    if (in != out) std::copy(in + heads * head_size, in + y.columns, out + heads * head_size);
  });
}

}  // namespace

void check_positions(const Call& call, const Matrix<const std::int32_t>& positions, std::size_t table_rows) {
  for (std::size_t row = 0; row < positions.rows; ++row) {
    for (std::size_t axis = 0; axis < 2; ++axis) {
      const std::int32_t position = positions.row(row)[axis];
      if (position >= 0 && static_cast<std::size_t>(position) < table_rows) continue;
      call.bad_contents("patch " + std::to_string(row) + " is at " + (axis == 0 ? "row " : "column ") +
                        std::to_string(position) + ", and angles has " + std::to_string(table_rows) + " rows");
    }
  }
}

void rope(const Call& call) { rotate_parts(call, 1, 1); }

void rope_qk(const Call& call) { rotate_parts(call, 2, 3); }

}  // namespace vitgraph::cpu
