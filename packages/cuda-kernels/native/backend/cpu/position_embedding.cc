// A square table of learned position embeddings, sampled bilinearly (corners aligned) at each patch of its grid.
#include <algorithm>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {
namespace {

/// One axis of the sample: two neighbouring rows (or columns) of the table, and the weight of the second.
struct Neighbours {
  std::size_t low;
  std::size_t high;
  float fraction;
};

/// Element `index` of torch.linspace(0, side - 1, count) in f32, which counts from the nearer end.
Neighbours sample(std::int32_t index, std::int32_t count, std::int32_t side) {
  const auto end = static_cast<float>(side - 1);
  float coordinate = 0;
  if (count > 1) {
    const float step = end / static_cast<float>(count - 1);
    coordinate =
        index < count / 2 ? step * static_cast<float>(index) : end - step * static_cast<float>(count - 1 - index);
  }
  const auto low = static_cast<std::int32_t>(coordinate);
  const std::int32_t high = std::min(low + 1, side - 1);
  return {static_cast<std::size_t>(low), static_cast<std::size_t>(high), coordinate - static_cast<float>(low)};
}

}  // namespace

void position_embedding(const Call& call) {
  enum { TABLE, POSITIONS, Y };
  const auto positions = call.matrix<const std::int32_t>(POSITIONS);
  const auto y = call.matrix<float>(Y);
  const auto side = static_cast<std::int32_t>(call.count(0));
  for (std::size_t row = 0; row < y.rows; ++row) {
    const std::int32_t* p = positions.row(row);
    if (p[0] < 0 || p[1] < 0 || p[0] >= p[2] || p[1] >= p[3]) {
      call.bad_contents("patch " + std::to_string(row) + " is at (" + std::to_string(p[0]) + ", " +
                        std::to_string(p[1]) + ") of a grid of " + std::to_string(p[2]) + "×" + std::to_string(p[3]));
    }
  }
  with_float_type(call.step.operands[TABLE].dtype, [&](auto* table_type) {
    const auto table = call.matrix<std::remove_pointer_t<decltype(table_type)>>(TABLE);
    for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
      const std::int32_t* p = positions.row(row);
      const Neighbours vertical = sample(p[0], p[2], side);
      const Neighbours horizontal = sample(p[1], p[3], side);
      const auto cell = [&](std::size_t r, std::size_t c) { return table.row(r * static_cast<std::size_t>(side) + c); };
      const auto* top_left = cell(vertical.low, horizontal.low);
      const auto* top_right = cell(vertical.low, horizontal.high);
      const auto* bottom_left = cell(vertical.high, horizontal.low);
      const auto* bottom_right = cell(vertical.high, horizontal.high);
      const float dh = vertical.fraction;
      const float dw = horizontal.fraction;
      float* out = y.row(row);
      for (std::size_t i = 0; i < y.columns; ++i) {
        out[i] = (1 - dh) * (1 - dw) * to_float(top_left[i]) + (1 - dh) * dw * to_float(top_right[i]) +
                 dh * (1 - dw) * to_float(bottom_left[i]) + dh * dw * to_float(bottom_right[i]);
      }
    });
  });
}

}  // namespace vitgraph::cpu
