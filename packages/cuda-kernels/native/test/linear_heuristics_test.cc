// The tile that a linear layer takes on Hopper before anything is measured.
#include <string>

#include "kernels/sm90/linear/heuristics.h"
#include "test/expect.h"

namespace vitgraph {
namespace {

using kernels::sm90::choose_linear_tile;
using kernels::sm90::LinearSize;

constexpr std::int32_t kMultiprocessors = 132;

std::string tile(const LinearSize& size, std::int32_t multiprocessors = kMultiprocessors) {
  return kernels::sm90::kLinearTileNames[static_cast<std::size_t>(choose_linear_tile(size, multiprocessors))];
}

}  // namespace

void test_linear_heuristics() {
  expect("one row takes the smallest tile", tile({1, 64, 512}), "64x64");
  expect("a large product takes 128x192, which costs least for its size", tile({16384, 4608, 1152}), "128x192 2x1");
  // 22 x 6 tiles of 192x192 are one round of 132; 32 x 6 of 128x192 are two.
  expect("a tile that just fills the device wins", tile({4096, 1152, 1152}), "192x192 1x2");
  expect("and loses on a device with one multiprocessor less", tile({4096, 1152, 1152}, 131), "64x128");
}

}  // namespace vitgraph
