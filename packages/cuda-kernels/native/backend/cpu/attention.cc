// softmax(q · kᵀ · scale) · v for each head within each segment.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

void attention(const Call& call) {
  enum { Q, K, V, CU_SEQLENS, Y };
  const auto q = call.matrix<const float>(Q);
  const auto k = call.matrix<const float>(K);
  const auto v = call.matrix<const float>(V);
  const auto bounds = call.matrix<const std::int32_t>(CU_SEQLENS);
  const auto y = call.matrix<float>(Y);
  const std::size_t heads = call.count(0);
  const float scale = call.number(1);
  const std::size_t d = y.columns / heads;
  for (std::size_t s = 0; s + 1 < bounds.rows; ++s) {
    const std::size_t first = static_cast<std::size_t>(*bounds.row(s));
    const std::size_t end = static_cast<std::size_t>(*bounds.row(s + 1));
    call.pool.parallel_for((end - first) * heads, [&](std::size_t chunk, int) {
      const std::size_t row = first + chunk / heads;
      const std::size_t at = chunk % heads * d;
      std::vector<float> p(end - first);
      float largest = -INFINITY;
      for (std::size_t j = first; j < end; ++j) {
        float dot = 0;
        for (std::size_t i = 0; i < d; ++i) dot += q.row(row)[at + i] * k.row(j)[at + i];
        p[j - first] = dot * scale;
        largest = std::max(largest, dot * scale);
      }
      float sum = 0;
      for (float& value : p) sum += value = std::exp(value - largest);
      for (std::size_t i = 0; i < d; ++i) {
        float total = 0;
        for (std::size_t j = first; j < end; ++j) total += p[j - first] * v.row(j)[at + i];
        y.row(row)[at + i] = total / sum;
      }
    });
  }
}

}  // namespace vitgraph::cpu
