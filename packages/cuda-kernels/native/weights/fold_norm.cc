#include "weights/fold_norm.h"

#include <memory>

#include "weights/store.h"

namespace vitgraph::weights {
namespace {

// Two partial sums to an SSE2 register, and four registers hide the latency of an addition.
constexpr size_t kLanes = 8;

/// Σ term(k) in float64.
template <typename Term>
double sum(size_t count, Term term) {
  double lanes[kLanes] = {};
  size_t k = 0;
  for (; k + kLanes <= count; k += kLanes) {
    for (size_t lane = 0; lane < kLanes; lane++) lanes[lane] += term(k + lane);
  }
  for (; k < count; k++) lanes[k % kLanes] += term(k);
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

/// `row` is scratch for one row, which stays in the cache from one pass to the next.
template <typename From, typename To>
void fold_rows(const NormFold& fold, const FoldedWeight& result, float* row) {
  const size_t columns = fold.columns;
  for (size_t number = 0; number < fold.rows; number++) {
    const From* from = reinterpret_cast<const From*>(fold.weight) + number * columns;
    To* to = reinterpret_cast<To*>(result.weight) + number * columns;
    for (size_t k = 0; k < columns; k++) row[k] = to_float(from[k]);

    double v = fold.bias == nullptr ? 0 : fold.bias[number];
    if (const float* shift = fold.shift; shift != nullptr) {
      v += sum(columns, [&](size_t k) { return static_cast<double>(row[k]) * static_cast<double>(shift[k]); });
    }
    result.v[number] = static_cast<float>(v);

    for (size_t k = 0; k < columns; k++) row[k] *= fold.scale[k];
    if (fold.centred) {
      const double mean = sum(columns, [&](size_t k) { return row[k]; }) / static_cast<double>(columns);
      for (size_t k = 0; k < columns; k++) row[k] = static_cast<float>(row[k] - mean);
    }
    for (size_t k = 0; k < columns; k++) to[k] = store_as<To>(row[k]);
    result.u[number] = static_cast<float>(sum(columns, [&](size_t k) { return to_float(to[k]); }));
  }
}

}  // namespace

void fold_norm(const NormFold& fold, const FoldedWeight& result) {
  const auto row = std::make_unique_for_overwrite<float[]>(fold.columns);
  with_float_type(fold.from, [&](auto* from_type) {
    using From = std::remove_const_t<std::remove_pointer_t<decltype(from_type)>>;
    with_stored_type(result.to, [&](auto* to_type) {
      fold_rows<From, std::remove_pointer_t<decltype(to_type)>>(fold, result, row.get());
    });
  });
}

}  // namespace vitgraph::weights
