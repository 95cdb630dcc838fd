// y = a + b.
#include <algorithm>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

void add(const Call& call) {
  using namespace operands::add;
  const auto a = call.matrix<const float>(A);
  const auto b = call.matrix<const float>(B);
  const auto y = call.matrix<float>(Y);
  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    const float* left = a.row(row);
    const float* right = b.row(row);
    float* sum = y.row(row);
    for (std::size_t i = 0; i < y.columns; ++i) sum[i] = left[i] + right[i];
  });
}

}  // namespace vitgraph::cpu
