// y = activation(gate) · up, element by element. y may be the gate, so that is read first.
#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

void gate(const Call& call) {
  using namespace operands::gate;
  const auto gate = call.matrix<const float>(GATE);
  const auto up = call.matrix<const float>(UP);
  const auto y = call.matrix<float>(Y);
  const auto function = static_cast<Activation>(call.count(0));
  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    const float* factor = up.row(row);
    float* out = y.row(row);
    call.engine.simd.finish_row(gate.row(row), nullptr, function, nullptr, out, y.columns);
    for (std::size_t i = 0; i < y.columns; ++i) out[i] *= factor[i];
  });
}

}  // namespace vitgraph::cpu
