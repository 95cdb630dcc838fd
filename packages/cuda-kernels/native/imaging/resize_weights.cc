#include "imaging/resize_weights.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>

namespace vitgraph::imaging {
namespace {

// Keys' cubic with a = -1/2, as Pillow and torch's antialiased resize have it (torch's plain bicubic has -3/4).
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
  return 0.0;
}

double triangle(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) { return std::abs(x) < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0; }

// A filter, and the input pixels to each side beyond which it is zero.
struct Kernel {
  double (*value)(double);
  double support;
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::bilinear: return {triangle, 1.0};
    case Filter::bicubic: return {cubic, 2.0};
    case Filter::lanczos: return {lanczos, 3.0};
  }
  std::abort();
}

// The most fractional bits with which the largest weight stays below 2^15.
int fixed_point_precision(double largest) {
  int precision = 0;
  while (precision < 22 && static_cast<int>(0.5 + largest * (1 << (precision + 1))) < (1 << 15)) precision++;
  return precision;
}

}  // namespace

ResizeWeights resize_weights(Filter filter, int from, int to) {
  const Kernel kernel = kernel_of(filter);
  const double scale = static_cast<double>(from) / to;
  // When shrinking, the filter widens so that every input pixel counts: that is the antialiasing.
  const double stretch = std::max(scale, 1.0);
  const double support = kernel.support * stretch;
  const int most_taps = static_cast<int>(std::ceil(support)) * 2 + 1;

  ResizeWeights result;
  result.taps.reserve(to);
  std::vector<double> exact;
  double largest = 0.0;
  for (int i = 0; i < to; i++) {
    const double center = scale * (i + 0.5);
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int end = std::min(static_cast<int>(center + support + 0.5), from);
    const int count = std::clamp(end - first, 0, most_taps);
    const int start = static_cast<int>(exact.size());
    double sum = 0.0;
    for (int j = 0; j < count; j++) {
      const double weight = kernel.value((j + first - center + 0.5) * (1.0 / stretch));
      exact.push_back(weight);
      sum += weight;
    }
    for (int j = start; j < start + count; j++) {
      exact[j] /= sum;
      largest = std::max(largest, exact[j]);
    }
    result.taps.push_back({first, count, start});
  }

  result.precision = fixed_point_precision(largest);
  result.values.reserve(exact.size());
  for (const double weight : exact) {
    const double scaled = weight * (1 << result.precision);
    result.values.push_back(static_cast<int16_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
  }
  return result;
}

}  // namespace vitgraph::imaging
