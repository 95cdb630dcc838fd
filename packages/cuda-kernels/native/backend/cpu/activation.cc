// y = activation(x).
#include <algorithm>
#include <cmath>

#include "backend/cpu/kernel.h"
#include "backend/cpu/activation_math.h"

namespace vitgraph::cpu {

void activation(const Call& call) {
  enum { X, Y };
  const auto x = call.matrix<const float>(X);
  const auto y = call.matrix<float>(Y);
  const auto function = static_cast<Activation>(call.count(0));
  for_each_row(call.pool, y.rows, y.columns, [&](std::size_t row) {
    for (std::size_t i = 0; i < y.columns; ++i) y.row(row)[i] = activate(function, x.row(row)[i]);
  });
}

}  // namespace vitgraph::cpu
