#include "kernels/common/attention_tiles.h"

#include <numeric>
#include <tuple>

namespace vitgraph::kernels {
namespace {

/// Rows of the smallest tile, and keys per step of the kernels: the unit of heights and costs.
constexpr std::int32_t kUnit = 64;
constexpr std::int32_t kStep = 128;

/// Cost of a step of a tile of 64, 128 and 192 rows, relative to the last (H100, head size 72): short tiles overlap
/// little and read as many keys and values. The overhead of an item is about one more step.
constexpr std::int64_t kStepCosts[] = {77, 84, 100};

/// With more items per SM than this, an uneven tail costs less than balancing it.
constexpr std::int64_t kRoundsToPlan = 12;
/// Items at the end, per SM, that are sorted by cost. All others stay with their segment, whose keys and values are in
/// L2.
constexpr std::int64_t kRoundsToEven = 3;
/// Replaces up to 2 · 4 tall tiles per segment: beyond that the extra items cost more than they balance.
constexpr std::int32_t kMoreTails = 4;

constexpr std::int32_t divide_up(std::int32_t value, std::int32_t by) { return (value + by - 1) / by; }

}  // namespace

AttentionTiler::AttentionTiler(const AttentionTiling& tiling, std::size_t segments) : tiling_(tiling) {
  order_.reserve(segments);
  strips_.reserve(2 * segments);
  loads_.reserve(static_cast<std::size_t>(tiling.multiprocessors) + 1);
}

std::size_t AttentionTiler::write(std::span<const std::int32_t> cu_seqlens, std::span<AttentionStrip> table) {
  const auto length = [&](std::int32_t segment) {
    const auto at = static_cast<std::size_t>(segment);
    return cu_seqlens[at + 1] - cu_seqlens[at];
  };
  order_.resize(cu_seqlens.empty() ? 0 : cu_seqlens.size() - 1);
  std::iota(order_.begin(), order_.end(), 0);
  std::sort(order_.begin(), order_.end(),
            [&](std::int32_t a, std::int32_t b) { return length(a) != length(b) ? length(a) > length(b) : a < b; });

  const bool mixes = tiling_.tallest >= 3 * kUnit && tiling_.shortest < tiling_.tallest;
  Cut best{tiling_.tallest, mixes ? 2 * kUnit : 0, 0};
  cut(cu_seqlens, best);
  std::int64_t items = 0;
  for (const AttentionStrip& strip : strips_) items += std::int64_t{strip.tiles} * tiling_.heads;
  if (items <= kRoundsToPlan * tiling_.multiprocessors) {
    std::int64_t least = makespan();
    const auto consider = [&](const Cut& other) {
      cut(cu_seqlens, other);
      const std::int64_t cost = makespan();
      if (cost >= least) return;
      least = cost;
      best = other;
    };
    for (std::int32_t more = 1; mixes && more <= kMoreTails; ++more) consider({tiling_.tallest, 2 * kUnit, more});
    for (std::int32_t height = tiling_.tallest - kUnit; height >= tiling_.shortest; height -= kUnit) {
      consider({height, 0, 0});
    }
    cut(cu_seqlens, best);
  }

  std::size_t tiles = 0;
  for (AttentionStrip& strip : strips_) {
    strip.first_tile = static_cast<std::int32_t>(tiles);
    for (std::int32_t i = 0; i < strip.tiles; ++i) table[tiles++] = strip;
  }
  return tiles;
}

void AttentionTiler::cut(std::span<const std::int32_t> cu_seqlens, const Cut& cut) {
  strips_.clear();
  const auto add = [&](std::int32_t start, std::int32_t length, std::int32_t first_row, std::int32_t height,
                       std::int32_t tiles) {
    if (tiles > 0) strips_.push_back({start, length, first_row, height, 0, tiles, {}});
  };
  for (const std::int32_t segment : order_) {
    const std::int32_t start = cu_seqlens[static_cast<std::size_t>(segment)];
    const std::int32_t length = cu_seqlens[static_cast<std::size_t>(segment) + 1] - start;
    const std::int32_t units = divide_up(length, kUnit);
    if (cut.tail == 0 || units * kUnit <= cut.main) {
      const std::int32_t height = std::max(std::min(cut.main, units * kUnit), tiling_.shortest);
      add(start, length, 0, height, divide_up(length, height));
      continue;
    }
    // units = 3 · mains + 2 · tails has a solution from 4 units on, with 0, 2 or 1 tails; 3 tails are 2 mains.
    const std::int32_t least = units % 3 * 2 % 3;
    const std::int32_t more = std::min(cut.more_tails, (units - 2 * least) / 6);
    const std::int32_t tails = least + 3 * more;
    const std::int32_t mains = (units - 2 * tails) / 3;
    add(start, length, 0, cut.main, mains);
    add(start, length, mains * cut.main, cut.tail, tails);
  }

  // Sort the last items by cost, the short ones last.
  std::int64_t items = 0;
  auto from = strips_.end();
  while (from != strips_.begin()) {
    items += std::int64_t{std::prev(from)->tiles} * tiling_.heads;
    if (items > kRoundsToEven * tiling_.multiprocessors) break;
    --from;
  }
  std::sort(from, strips_.end(), [&](const AttentionStrip& a, const AttentionStrip& b) {
    return std::tuple(-item_cost(a), a.segment_start, a.first_row) <
           std::tuple(-item_cost(b), b.segment_start, b.first_row);
  });
}

std::int64_t AttentionTiler::item_cost(const AttentionStrip& strip) const {
  const std::int32_t steps = divide_up(strip.segment_length, kStep);
  return (steps + 1) * kStepCosts[strip.tile_rows / kUnit - 1];
}

std::int64_t AttentionTiler::makespan() {
  // SMs of equal load are counted instead of listed: strips have many items of one cost.
  loads_.assign(1, {0, tiling_.multiprocessors});
  std::int64_t last = 0;
  for (const AttentionStrip& strip : strips_) {
    const std::int64_t cost = item_cost(strip);
    for (std::int64_t items = std::int64_t{strip.tiles} * tiling_.heads; items > 0;) {
      const Load first = loads_.front();
      const std::int64_t taken = std::min(items, first.multiprocessors);
      items -= taken;
      if (taken == first.multiprocessors)
        loads_.erase(loads_.begin());
      else
        loads_.front().multiprocessors -= taken;
      const Load next{first.cost + cost, taken};
      const auto cheaper = [](const Load& a, const Load& b) { return a.cost < b.cost; };
      const auto at = std::lower_bound(loads_.begin(), loads_.end(), next, cheaper);
      if (at != loads_.end() && at->cost == next.cost)
        at->multiprocessors += taken;
      else
        loads_.insert(at, next);
      last = std::max(last, next.cost);
    }
  }
  return last;
}

}  // namespace vitgraph::kernels
