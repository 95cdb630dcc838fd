// CMYK → RGB by Pillow's formula, which knows no colour profiles.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vitgraph::imaging {

// `cmyk` is [pixels, 4], 255 being full ink; `rgb` is [pixels, 3].
void cmyk_to_rgb(const uint8_t* cmyk, size_t pixels, uint8_t* rgb);

}  // namespace vitgraph::imaging
