// The code behind one Simd table. Included once by each instruction set's file, after it has said
//
//     constexpr std::size_t kLanes, kTileRows, kTileVectors
//
// in an anonymous namespace. Everything here has internal linkage and calls no inline function of another header: the
// linker keeps one copy of those for the whole addon, and it must not be one that was compiled for AVX-512.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "backend/cpu/simd/simd.h"

namespace vitgraph::cpu {
namespace {

// Vectors -------------------------------------------------------------------------------------------------------------

constexpr std::size_t kTileColumns = kTileVectors * kLanes;

using Vec = float __attribute__((vector_size(kLanes * 4)));
using IntVec = std::int32_t __attribute__((vector_size(kLanes * 4)));
using HalfVec = std::uint16_t __attribute__((vector_size(kLanes * 2)));
using UintVec = std::uint32_t __attribute__((vector_size(kLanes * 4)));

#define VITGRAPH_INLINE static inline __attribute__((always_inline))

VITGRAPH_INLINE Vec load(const float* from) {
  Vec v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

VITGRAPH_INLINE void store(float* to, Vec v) { std::memcpy(to, &v, sizeof v); }

template <std::size_t... I>
VITGRAPH_INLINE Vec splat(float value, std::index_sequence<I...>) {
  return Vec{((void)I, value)...};
}

/// Not `Vec{} + value`: an addition turns -0 into 0, so the compiler would have to make it.
VITGRAPH_INLINE Vec splat(float value) { return splat(value, std::make_index_sequence<kLanes>()); }

VITGRAPH_INLINE Vec as_float(UintVec bits) { return reinterpret_cast<Vec>(bits); }
VITGRAPH_INLINE UintVec as_bits(Vec v) { return reinterpret_cast<UintVec>(v); }

/// Lanes of a where the mask is set, of b elsewhere.
VITGRAPH_INLINE Vec select(IntVec mask, Vec a, Vec b) {
  const auto bits = reinterpret_cast<UintVec>(mask);
  return as_float((as_bits(a) & bits) | (as_bits(b) & ~bits));
}

// NaN loses every comparison: both keep it where it stands in `v`.
VITGRAPH_INLINE Vec at_most(Vec v, float bound) { return select(v > bound, splat(bound), v); }
VITGRAPH_INLINE Vec at_least(Vec v, float bound) { return select(v < bound, splat(bound), v); }

template <typename Combine>
VITGRAPH_INLINE float reduce(Vec v, Combine combine) {
  float lanes[kLanes];
  store(lanes, v);
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) lanes[i] = combine(lanes[i], lanes[i + width]);
  }
  return lanes[0];
}

VITGRAPH_INLINE float sum_of(Vec v) {
  return reduce(v, [](float a, float b) { return a + b; });
}

/// Calls `whole` with each multiple of kLanes below count, then `rest` with each index that is left.
template <typename Whole, typename Rest>
VITGRAPH_INLINE void for_lanes(std::size_t count, Whole whole, Rest rest) {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) whole(i);
  for (; i < count; ++i) rest(i);
}

/// Row tails go through a whole vector, so that every element takes the same arithmetic wherever it stands.
VITGRAPH_INLINE Vec load_part(const float* from, std::size_t count) {
  float lanes[kLanes] = {};
  for (std::size_t i = 0; i < count; ++i) lanes[i] = from[i];
  return load(lanes);
}

VITGRAPH_INLINE void store_part(float* to, Vec v, std::size_t count) {
  float lanes[kLanes];
  store(lanes, v);
  for (std::size_t i = 0; i < count; ++i) to[i] = lanes[i];
}

// 16-bit floats -------------------------------------------------------------------------------------------------------

template <typename T>
struct Widen;

template <>
struct Widen<float> {
  VITGRAPH_INLINE Vec vector(const float* from) { return load(from); }
};

template <>
struct Widen<BFloat16> {
  VITGRAPH_INLINE Vec vector(const BFloat16* from) {
    HalfVec half;
    std::memcpy(&half, from, sizeof half);
    return as_float(__builtin_convertvector(half, UintVec) << 16);
  }
};

template <>
struct Widen<Float16> {
  /// Exact, subnormals, infinities and NaNs included: see to_float in common/dtype.h.
  VITGRAPH_INLINE Vec vector(const Float16* from) {
    HalfVec half;
    std::memcpy(&half, from, sizeof half);
    const UintVec bits = __builtin_convertvector(half, UintVec);
    const Vec magnitude = as_float((bits & 0x7fffu) << 13) * 0x1p112f;
    const UintVec special = reinterpret_cast<UintVec>(magnitude >= 65536.0f) & 0x7f800000u;
    return as_float(as_bits(magnitude) | special | (bits & 0x8000u) << 16);
  }
};

template <typename T>
VITGRAPH_INLINE Vec widen_part(const T* from, std::size_t count) {
  T lanes[kLanes] = {};
  for (std::size_t i = 0; i < count; ++i) lanes[i] = from[i];
  return Widen<T>::vector(lanes);
}

template <typename T>
void widen_as(const T* from, std::size_t count, float* to) {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, Widen<T>::vector(from + i));
  if (i < count) store_part(to + i, widen_part(from + i, count - i), count - i);
}

void widen(const void* from, DType dtype, std::size_t count, float* to) {
  switch (dtype) {
    case DType::bf16: return widen_as(static_cast<const BFloat16*>(from), count, to);
    case DType::f16: return widen_as(static_cast<const Float16*>(from), count, to);
    default: return widen_as(static_cast<const float*>(from), count, to);
  }
}

// Packing -------------------------------------------------------------------------------------------------------------

/// a0 b0 a1 b1 … from the lower halves of a and b, or from the upper ones.
template <std::size_t Start, std::size_t... I>
VITGRAPH_INLINE Vec interleave(Vec a, Vec b, std::index_sequence<I...>) {
#ifdef __clang__
  return __builtin_shufflevector(a, b, (Start + I / 2 + (I % 2) * kLanes)...);
#else
  return __builtin_shuffle(a, b, IntVec{static_cast<std::int32_t>(Start + I / 2 + (I % 2) * kLanes)...});
#endif
}

/// Transposes kLanes vectors in place. Interleaving vector i with vector i + kLanes/2 rotates the bits of an element's
/// index (vector, lane) by one; after log2(kLanes) rounds vector and lane have changed places.
VITGRAPH_INLINE void transpose(Vec (&block)[kLanes]) {
  constexpr auto lanes = std::make_index_sequence<kLanes>();
  for (std::size_t round = 1; round < kLanes; round *= 2) {
    Vec next[kLanes];
    for (std::size_t i = 0; i < kLanes / 2; ++i) {
      next[2 * i] = interleave<0>(block[i], block[i + kLanes / 2], lanes);
      next[2 * i + 1] = interleave<kLanes / 2>(block[i], block[i + kLanes / 2], lanes);
    }
    for (std::size_t i = 0; i < kLanes; ++i) block[i] = next[i];
  }
}

/// An element of depth is a float of the panel.
template <typename T>
struct FloatWords {
  using Element = T;
  static constexpr std::size_t kElements = 1;
  VITGRAPH_INLINE Vec vector(const T* from) { return Widen<T>::vector(from); }
};

/// kLanes columns of a panel from as many rows of b, in words of kElements of their depth. The rows beyond `rows`, and
/// the elements beyond `depth`, become zeros.
template <typename Words, typename T = typename Words::Element>
VITGRAPH_INLINE void pack_lanes(const T* b, std::size_t row_stride, std::size_t rows, std::size_t depth, float* panel,
                                std::size_t width) {
  constexpr std::size_t kStep = kLanes * Words::kElements;
  for (std::size_t p = 0; p < depth; p += kStep) {
    const std::size_t count = depth - p < kStep ? depth - p : kStep;
    Vec block[kLanes];
    for (std::size_t row = 0; row < kLanes; ++row) {
      const T* from = b + row * row_stride + p;
      if (row >= rows) {
        block[row] = Vec{};
      } else if (count == kStep) {
        block[row] = Words::vector(from);
      } else {
        T part[kStep] = {};
        for (std::size_t i = 0; i < count; ++i) part[i] = from[i];
        block[row] = Words::vector(part);
      }
    }
    transpose(block);
    const std::size_t words = (count + Words::kElements - 1) / Words::kElements;
    for (std::size_t i = 0; i < words; ++i) store(panel + (p / Words::kElements + i) * width, block[i]);
  }
}

template <typename Words, typename T = typename Words::Element>
void pack_transposed_as(const T* b, std::size_t row_stride, std::size_t columns, std::size_t depth, float* packed) {
  for (std::size_t column = 0; column < columns; column += kTileColumns) {
    const std::size_t left = columns - column;
    const std::size_t width = left < kTileColumns ? (left + kLanes - 1) / kLanes * kLanes : kTileColumns;
    for (std::size_t lane = 0; lane < width; lane += kLanes) {
      const std::size_t rows = left - lane < kLanes ? left - lane : kLanes;
      pack_lanes<Words>(b + (column + lane) * row_stride, row_stride, rows, depth, packed + lane, width);
    }
    packed += (depth + Words::kElements - 1) / Words::kElements * width;
  }
}

template <template <typename> typename Words>
void pack_transposed(const void* b, DType dtype, std::size_t row_stride, std::size_t columns, std::size_t depth,
                     float* packed) {
  switch (dtype) {
    case DType::bf16:
      return pack_transposed_as<Words<BFloat16>>(static_cast<const BFloat16*>(b), row_stride, columns, depth, packed);
    case DType::f16:
      return pack_transposed_as<Words<Float16>>(static_cast<const Float16*>(b), row_stride, columns, depth, packed);
    default: return pack_transposed_as<Words<float>>(static_cast<const float*>(b), row_stride, columns, depth, packed);
  }
}

void pack(const float* b, std::size_t row_stride, std::size_t columns, std::size_t depth, float* packed) {
  for (std::size_t column = 0; column < columns; column += kTileColumns) {
    const std::size_t left = columns - column;
    const std::size_t width = left < kTileColumns ? (left + kLanes - 1) / kLanes * kLanes : kTileColumns;
    for (std::size_t p = 0; p < depth; ++p) {
      const float* row = b + p * row_stride + column;
      for (std::size_t lane = 0; lane < width; lane += kLanes) {
        store(packed + lane, left - lane >= kLanes ? load(row + lane) : load_part(row + lane, left - lane));
      }
      packed += width;
    }
  }
}

// Products ------------------------------------------------------------------------------------------------------------

struct FloatProduct {
  VITGRAPH_INLINE Vec add(Vec sum, Vec left, Vec right) { return sum + left * right; }
};

/// c[Rows × Vectors·kLanes] += a · panel: the loop that everything else exists for. The sums stay in registers.
template <typename Product, std::size_t Rows, std::size_t Vectors>
void multiply_tile(const float* a, const float* panel, std::size_t depth, float* c, std::size_t c_stride,
                   bool accumulate) {
  Vec sums[Rows][Vectors] = {};
  for (std::size_t p = 0; p < depth; ++p) {
    Vec b[Vectors];
#pragma GCC unroll 8
    for (std::size_t v = 0; v < Vectors; ++v) b[v] = load(panel + p * Vectors * kLanes + v * kLanes);
#pragma GCC unroll 16
    for (std::size_t row = 0; row < Rows; ++row) {
      const Vec left = splat(a[row * kDepthStride + p]);
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v) sums[row][v] = Product::add(sums[row][v], left, b[v]);
    }
  }
#pragma GCC unroll 16
  for (std::size_t row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < Vectors; ++v) {
      float* to = c + row * c_stride + v * kLanes;
      store(to, accumulate ? load(to) + sums[row][v] : sums[row][v]);
    }
  }
}

using TileFunction = void (*)(const float* a, const float* panel, std::size_t depth, float* c, std::size_t c_stride,
                              bool accumulate);

/// By rows - 1 and vectors - 1: rows and columns at the edges get tiles of their own size.
struct TileTable {
  TileFunction at[kTileRows][kTileVectors];
};

template <typename Product, std::size_t Rows, std::size_t... V>
constexpr void fill_tile_row(TileTable& table, std::index_sequence<V...>) {
  ((table.at[Rows][V] = multiply_tile<Product, Rows + 1, V + 1>), ...);
}

template <typename Product, std::size_t... R>
constexpr TileTable make_tile_table(std::index_sequence<R...>) {
  TileTable table{};
  (fill_tile_row<Product, R>(table, std::make_index_sequence<kTileVectors>()), ...);
  return table;
}

template <typename Product>
constexpr TileTable kTiles = make_tile_table<Product>(std::make_index_sequence<kTileRows>());

template <typename Product>
void multiply(const float* a, std::size_t rows, const float* packed, std::size_t columns, std::size_t depth, float* c,
              std::size_t c_stride, bool accumulate) {
  for (std::size_t row = 0; row < rows; row += kTileRows) {
    const std::size_t tile_rows = rows - row < kTileRows ? rows - row : kTileRows;
    const float* panel = packed;
    for (std::size_t column = 0; column < columns; column += kTileColumns) {
      const std::size_t left = columns - column;
      const std::size_t vectors = left < kTileColumns ? (left + kLanes - 1) / kLanes : kTileVectors;
      kTiles<Product>.at[tile_rows - 1][vectors - 1](a + row * kDepthStride, panel, depth, c + row * c_stride + column,
                                                     c_stride, accumulate);
      panel += depth * vectors * kLanes;
    }
  }
}

// Functions -----------------------------------------------------------------------------------------------------------
// The coefficients come from dev/fit-polynomials.mjs, which also says how far off they are (1.8e-8, 1.6e-8, 7.6e-8).

/// Adding this to |x| < 2^22 leaves x, rounded to a whole number, in the low bits of the sum.
constexpr float kRounder = 0x1.8p23f;

/// p · 2^n, where `rounded` is n + kRounder and n a float's exponent. A product, since it keeps a NaN one.
VITGRAPH_INLINE Vec scale_by_power(Vec p, Vec rounded) { return p * as_float((as_bits(rounded) << 23) + 0x3f800000u); }

/// 2^x for x ≤ 126: what is below -126 gives 2^-126, as good as nothing beside the 1 of a row's maximum.
VITGRAPH_INLINE Vec exp2(Vec x) {
  x = at_least(x, -126.0f);
  const Vec rounded = x + kRounder;
  const Vec f = x - (rounded - kRounder);
  Vec p = splat(0.000153375775f);
  p = p * f + 0.00133998599f;
  p = p * f + 0.00961851981f;
  p = p * f + 0.0555032901f;
  p = p * f + 0.240226462f;
  p = p * f + 0.693147182f;
  p = p * f + 1.0f;
  return scale_by_power(p, rounded);
}

/// e^x, within x = -87 … 88: what lies beyond gives the value at that end.
VITGRAPH_INLINE Vec exp(Vec x) {
  x = at_most(at_least(x, -87.0f), 88.0f);
  const Vec rounded = x * 1.44269504f + kRounder;
  const Vec n = rounded - kRounder;
  // ln 2 in two parts, the first with so few bits that its product with n is exact.
  const Vec f = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Vec p = splat(0.00138294208f);
  p = p * f + 0.00837477110f;
  p = p * f + 0.0416683592f;
  p = p * f + 0.166664213f;
  p = p * f + 0.499999911f;
  p = p * f + 1.0f;
  p = p * f + 1.0f;
  return scale_by_power(p, rounded);
}

/// x · sigmoid(u): the SiLU family. Also GELU by tanh, since (1 + tanh u) / 2 is sigmoid(2u), without its cancellation.
VITGRAPH_INLINE Vec gated(Vec x, Vec u) { return x / (1.0f + exp(-u)); }

template <Activation Function>
VITGRAPH_INLINE Vec activate(Vec x) {
  if constexpr (Function == Activation::gelu_tanh) {
    // 2·sqrt(2/π)
    return gated(x, 1.59576912f * (x + 0.044715f * x * x * x));
  } else if constexpr (Function == Activation::gelu_erf) {
    // x · Φ(x), by Φ(-|x|) = erfc(z) / 2 with z = |x| / √2, and erfc(z) = exp(-z²) · erfcx(z).
    const Vec z = as_float(as_bits(x) & 0x7fffffffu) * 0.707106781f;
    const Vec t = 1.0f / (1.0f + 0.5f * z);
    Vec p = splat(-0.0597917512f);
    p = p * t + 0.287994415f;
    p = p * t + -0.494035900f;
    p = p * t + 0.285580605f;
    p = p * t + -0.0315702818f;
    p = p * t + 0.204673097f;
    p = p * t + 0.242630303f;
    p = p * t + 0.282436311f;
    p = p * t + 0.282083184f;
    const Vec tail = 0.5f * exp(-z * z) * p * t;
    return x * select(x > 0.0f, 1.0f - tail, tail);
  } else if constexpr (Function == Activation::quick_gelu) {
    return gated(x, 1.702f * x);
  } else if constexpr (Function == Activation::silu) {
    return gated(x, x);
  } else {
    return x;
  }
}

template <Activation Function>
void finish_row_as(const float* x, const float* bias, const float* residual, float* y, std::size_t count) {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Vec v = load(x + i);
    if (bias != nullptr) v += load(bias + i);
    v = activate<Function>(v);
    if (residual != nullptr) v += load(residual + i);
    store(y + i, v);
  }
  if (i == count) return;
  const std::size_t left = count - i;
  Vec v = load_part(x + i, left);
  if (bias != nullptr) v += load_part(bias + i, left);
  v = activate<Function>(v);
  if (residual != nullptr) v += load_part(residual + i, left);
  store_part(y + i, v, left);
}

void finish_row(const float* x, const float* bias, Activation activation, const float* residual, float* y,
                std::size_t count) {
  using Function = void (*)(const float*, const float*, const float*, float*, std::size_t);
  static constexpr Function by_activation[kActivationCount] = {
      finish_row_as<Activation::none>,       finish_row_as<Activation::gelu_tanh>, finish_row_as<Activation::gelu_erf>,
      finish_row_as<Activation::quick_gelu>, finish_row_as<Activation::silu>,
  };
  by_activation[static_cast<std::size_t>(activation)](x, bias, residual, y, count);
}

// Rows ----------------------------------------------------------------------------------------------------------------

void layernorm_row(const float* x, const float* weight, const float* bias, float epsilon, float* y, std::size_t count) {
  const float per_element = 1.0f / static_cast<float>(count);
  Vec sums{};
  float rest = 0;
  for_lanes(
      count, [&](std::size_t i) { sums += load(x + i); }, [&](std::size_t i) { rest += x[i]; });
  const float mean = (sum_of(sums) + rest) * per_element;
  // Deviations from the rounded mean don't quite add up to zero; what is left, the mean's own rounding, is taken out of
  // them and of the variance. Without it a row with mean 1000 and deviation 1 would be off by 3e-5.
  Vec deviations{};
  Vec squares{};
  float deviations_rest = 0;
  float squares_rest = 0;
  for_lanes(
      count,
      [&](std::size_t i) {
        const Vec d = load(x + i) - mean;
        deviations += d;
        squares += d * d;
      },
      [&](std::size_t i) {
        const float d = x[i] - mean;
        deviations_rest += d;
        squares_rest += d * d;
      });
  const float correction = (sum_of(deviations) + deviations_rest) * per_element;
  const float variance = (sum_of(squares) + squares_rest) * per_element - correction * correction;
  const float scale = 1.0f / __builtin_sqrtf(variance + epsilon);
  for_lanes(
      count,
      [&](std::size_t i) {
        store(y + i, (load(x + i) - mean - correction) * scale * load(weight + i) + load(bias + i));
      },
      [&](std::size_t i) { y[i] = (x[i] - mean - correction) * scale * weight[i] + bias[i]; });
}

void rmsnorm_row(const float* x, const float* weight, float epsilon, float* y, std::size_t count) {
  Vec squares{};
  float rest = 0;
  for_lanes(
      count, [&](std::size_t i) { squares += load(x + i) * load(x + i); }, [&](std::size_t i) { rest += x[i] * x[i]; });
  const float scale = 1.0f / __builtin_sqrtf((sum_of(squares) + rest) / static_cast<float>(count) + epsilon);
  for_lanes(
      count, [&](std::size_t i) { store(y + i, load(x + i) * scale * load(weight + i)); },
      [&](std::size_t i) { y[i] = x[i] * scale * weight[i]; });
}

float softmax_step(float* x, std::size_t count, float& largest) {
  Vec most = splat(largest);
  float rest = largest;
  for_lanes(
      count,
      [&](std::size_t i) {
        const Vec v = load(x + i);
        most = select(v > most, v, most);
      },
      [&](std::size_t i) { rest = x[i] > rest ? x[i] : rest; });
  const float best = reduce(most, [](float a, float b) { return a > b ? a : b; });
  largest = best > rest ? best : rest;
  Vec sums{};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vec p = exp2(load(x + i) - largest);
    sums += p;
    store(x + i, p);
  }
  float tail = 0;
  if (i < count) {
    store_part(x + i, exp2(load_part(x + i, count - i) - largest), count - i);
    for (; i < count; ++i) tail += x[i];
  }
  return sum_of(sums) + tail;
}

void scale_row(float* x, float factor, std::size_t count) {
  for_lanes(
      count, [&](std::size_t i) { store(x + i, load(x + i) * factor); }, [&](std::size_t i) { x[i] *= factor; });
}

constexpr Simd make_simd(const char* name) {
  return {name,
          kLanes,
          kTileRows,
          kTileColumns,
          pack_transposed<FloatWords>,
          pack,
          multiply<FloatProduct>,
          widen,
          finish_row,
          layernorm_row,
          rmsnorm_row,
          softmax_step,
          scale_row};
}

}  // namespace
}  // namespace vitgraph::cpu
