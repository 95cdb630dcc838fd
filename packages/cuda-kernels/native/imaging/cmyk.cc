#include "imaging/cmyk.h"

#include "imaging/resize.h"

namespace vitgraph::imaging {
namespace {

// a · b / 255, rounded to the nearest.
int multiply_bytes(int a, int b) {
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

}  // namespace

void cmyk_to_rgb(const uint8_t* cmyk, size_t pixels, uint8_t* rgb) {
  for (size_t i = 0; i < pixels; i++) {
    const int light = 255 - cmyk[i * 4 + 3];
    for (int c = 0; c < kChannels; c++) {
      rgb[i * kChannels + c] = static_cast<uint8_t>(light - multiply_bytes(cmyk[i * 4 + c], light));
    }
  }
}

}  // namespace vitgraph::imaging
