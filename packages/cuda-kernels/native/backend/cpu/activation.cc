// y = activation(x).
#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

void activation(const Call& call) {
  using namespace operands::activation;
  const auto x = call.matrix<const float>(X);
  const auto y = call.matrix<float>(Y);
  const auto function = static_cast<Activation>(call.count(0));
  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    call.engine.simd.finish_row(x.row(row), nullptr, function, nullptr, y.row(row), y.columns);
  });
}

}  // namespace vitgraph::cpu
