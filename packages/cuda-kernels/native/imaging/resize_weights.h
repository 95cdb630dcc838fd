// The taps of an antialiased resize along one axis, in 16-bit fixed point.
//
// Torch's arithmetic for uint8 (its native CPU path), which Pillow's preceded: weights are computed in float64,
// normalised, and rounded to int16 with as many fractional bits as the largest weight leaves room for. The number of
// bits differs from one pair of sizes to the next, and results equal torch's only if it is chosen as torch does.
#pragma once

#include <cstdint>
#include <vector>

namespace vitgraph::imaging {

enum class Filter { bicubic, bilinear, lanczos };

struct ResizeWeights {
  // Result i is the weighted sum of the `count` input values from `first` on.
  struct Taps {
    int first;
    int count;
    int weights;  // index of the first of `count` weights in `values`
  };
  std::vector<Taps> taps;       // one for each result
  std::vector<int16_t> values;  // weight · 2^precision, rounded
  int precision;
};

ResizeWeights resize_weights(Filter filter, int from, int to);

}  // namespace vitgraph::imaging
