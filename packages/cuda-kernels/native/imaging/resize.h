// Antialiased resize of 8-bit RGB, equal to torch's for uint8 on the CPU.
#pragma once

#include <cstdint>
#include <functional>

#include "imaging/resize_weights.h"

namespace vitgraph::imaging {

constexpr int kChannels = 3;

struct Size {
  int height;
  int width;
};

// Takes row `y` of the result: width · 3 bytes, valid during the call. Rows come in order.
using RowSink = std::function<void(int y, const uint8_t* rgb)>;

// `rgb` is [from.height, from.width, 3]. Where a side keeps its length, that axis is left as it is, bit for bit.
void resize(Filter filter, const uint8_t* rgb, Size from, Size to, const RowSink& sink);

}  // namespace vitgraph::imaging
