// y[r][c] = mean over i of x[r][i · columns + c]: the groups of a row, added in order.
#include <algorithm>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

void mean_groups(const Call& call) {
  using namespace operands::mean_groups;
  const auto x = call.matrix<const float>(X);
  const auto y = call.matrix<float>(Y);
  const std::size_t groups = x.columns / y.columns;
  for_each_row(call, y.rows, x.columns, [&](std::size_t row) {
    const float* from = x.row(row);
    float* mean = y.row(row);
    std::copy_n(from, y.columns, mean);
    for (std::size_t group = 1; group < groups; ++group) {
      from += y.columns;
      for (std::size_t i = 0; i < y.columns; ++i) mean[i] += from[i];
    }
    const auto count = static_cast<float>(groups);
    for (std::size_t i = 0; i < y.columns; ++i) mean[i] /= count;
  });
}

}  // namespace vitgraph::cpu
