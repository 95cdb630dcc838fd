// The kernels that work row by row: layernorm, rmsnorm, activation, gate, add, gather_rows, scatter_rows, unpack_patches,
// interpolate_rows, rope, rope_qk.
//
//   rows check    every kernel, fast and general paths, against float64 on the CPU; strided and poisoned buffers
//   rows time     bytes moved (each input once, each output once) a second, at the tower's sizes
#include <cstring>
#include <functional>

#include "harness.h"
#include "kernels/smxx/activation/activation.h"
#include "kernels/smxx/add/add.h"
#include "kernels/smxx/gate/gate.h"
#include "kernels/smxx/gather_rows/gather_rows.h"
#include "kernels/smxx/interpolate_rows/interpolate_rows.h"
#include "kernels/smxx/layernorm/layernorm.h"
#include "kernels/smxx/rmsnorm/rmsnorm.h"
#include "kernels/smxx/rope/rope.h"
#include "kernels/smxx/unpack_patches/unpack_patches.h"

namespace vitgraph::dev {
namespace {

using namespace kernels;  // NOLINT: a bench of all of them
using kernels::smxx::PixelFormat;

// Results are rounded to bf16 once: 2^-8 of an element at most, 1.7e-3 in the mean square of many. Eight elements can
// come out above that mean.
constexpr double kTolerance = 4e-3;

/// A poisoned matrix with a stride, room for more rows than are real, and its real part on the host.
struct TestMatrix {
  TestMatrix(int rows, int capacity, int columns, int stride)
      : rows(rows), columns(columns), stride(stride), device(static_cast<std::size_t>(capacity) * stride) {
    device.poison();
  }
  void fill(float mean = 0, float deviation = 1) {
    const DeviceBuffer<Bf16> dense(static_cast<std::size_t>(rows) * columns);
    fill_normal(dense.data(), dense.size(), mean, deviation);
    CHECK_CUDA(cudaMemcpy2D(device.data(), stride * 2, dense.data(), columns * 2, columns * 2, rows,
                            cudaMemcpyDeviceToDevice));
    host = dense.download();
  }
  View<Bf16> view() const { return {device.data(), stride}; }
  View<const Bf16> input() const { return {device.data(), stride}; }
  double at(int row, int column) const { return to_float(host[static_cast<std::size_t>(row) * columns + column]); }

  int rows;
  int columns;
  int stride;
  DeviceBuffer<Bf16> device;
  std::vector<Bf16> host;
};

/// Compares y with `expected(row, column)`.
void compare(const std::string& name, const TestMatrix& y, const std::function<double(int, int)>& expected) {
  CHECK_CUDA(cudaDeviceSynchronize());
  std::vector<double> reference;
  for (int row = 0; row < y.rows; ++row) {
    for (int column = 0; column < y.columns; ++column) reference.push_back(expected(row, column));
  }
  report(name, relative_error(y.device.download(), y.stride, reference, y.rows, y.columns), kTolerance);
}

double activate(Activation function, double x) {
  switch (function) {
    case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::gelu_erf: return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::quick_gelu: return x / (1 + std::exp(-1.702 * x));
    case Activation::silu: return x / (1 + std::exp(-x));
    default: return x;
  }
}

/// (rows, columns, stride): the fast paths, and shapes that only the general ones take.
struct Shape {
  int rows;
  int columns;
  int stride;
  std::string text() const {
    return std::to_string(rows) + "x" + std::to_string(columns) + "/" + std::to_string(stride);
  }
};
const std::vector<Shape> kShapes{{1, 8, 8},        {5, 144, 144},    {300, 1152, 1152}, {33, 1152, 1160},
                                 {70, 2048, 2048}, {65, 4608, 4608}, {9, 8192, 8192},   {13, 228, 228},
                                 {7, 1153, 1153},  {6, 9000, 9000},  {12, 64, 67},      {3000, 256, 256},
                                 {20, 2304, 2304}};

void check() {
  const DeviceBuffer<std::int32_t> count(std::vector<std::int32_t>{0});
  const auto real = [&](int rows) {
    count.upload({rows - 1});
    return Rows{count.data(), 1, rows + 50};
  };
  const Launch launch = default_launch();
  for (const Shape& shape : kShapes) {
    const auto [rows, columns, stride] = shape;
    TestMatrix a(rows, rows + 50, columns, stride);
    TestMatrix b(rows, rows + 50, columns, stride);
    a.fill(3, 2);  // a mean beside the deviation: what cancels if the variance is computed badly
    b.fill();
    TestMatrix weight(1, 1, columns, columns);
    TestMatrix bias(1, 1, columns, columns);
    weight.fill(1, 0.2f);
    bias.fill(0, 0.2f);
    {
      TestMatrix y(rows, rows + 50, columns, stride);
      CHECK_CUDA(smxx::launch_layernorm(
          launch, {a.input(), y.view(), weight.device.data(), bias.device.data(), real(rows), columns, 1e-6f}));
      std::vector<double> means(rows);
      std::vector<double> scales(rows);
      for (int row = 0; row < rows; ++row) {
        double sum = 0;
        double squares = 0;
        for (int c = 0; c < columns; ++c) sum += a.at(row, c);
        means[row] = sum / columns;
        for (int c = 0; c < columns; ++c) squares += (a.at(row, c) - means[row]) * (a.at(row, c) - means[row]);
        scales[row] = 1 / std::sqrt(squares / columns + 1e-6);
      }
      const auto expected = [&](int r, int c) {
        return (a.at(r, c) - means[r]) * scales[r] * weight.at(0, c) + bias.at(0, c);
      };
      compare("layernorm " + shape.text(), y, expected);
      TestMatrix in_place(rows, rows + 50, columns, stride);
      CHECK_CUDA(cudaMemcpy(in_place.device.data(), a.device.data(), a.device.bytes(), cudaMemcpyDeviceToDevice));
      CHECK_CUDA(smxx::launch_layernorm(launch, {in_place.input(), in_place.view(), weight.device.data(),
                                                 bias.device.data(), real(rows), columns, 1e-6f}));
      compare("layernorm in place " + shape.text(), in_place, expected);
    }
    {
      TestMatrix y(rows, rows + 50, columns, stride);
      CHECK_CUDA(smxx::launch_rmsnorm(launch, {a.input(), y.view(), weight.device.data(), real(rows), columns, 1e-6f}));
      std::vector<double> scales(rows);
      for (int row = 0; row < rows; ++row) {
        double squares = 0;
        for (int c = 0; c < columns; ++c) squares += a.at(row, c) * a.at(row, c);
        scales[row] = 1 / std::sqrt(squares / columns + 1e-6);
      }
      const auto expected = [&](int r, int c) { return a.at(r, c) * scales[r] * weight.at(0, c); };
      compare("rmsnorm " + shape.text(), y, expected);
      TestMatrix in_place(rows, rows + 50, columns, stride);
      CHECK_CUDA(cudaMemcpy(in_place.device.data(), a.device.data(), a.device.bytes(), cudaMemcpyDeviceToDevice));
      CHECK_CUDA(smxx::launch_rmsnorm(
          launch, {in_place.input(), in_place.view(), weight.device.data(), real(rows), columns, 1e-6f}));
      compare("rmsnorm in place " + shape.text(), in_place, expected);
    }
    for (int function = 0; function < 5; ++function) {
      TestMatrix gated(rows, rows + 50, columns, stride);
      CHECK_CUDA(smxx::launch_gate(launch, {b.input(), a.input(), gated.view(), real(rows), columns},
                                   static_cast<Activation>(function)));
      compare("gate " + std::to_string(function) + " " + shape.text(), gated,
              [&](int r, int c) { return activate(static_cast<Activation>(function), b.at(r, c)) * a.at(r, c); });
      TestMatrix y(rows, rows + 50, columns, stride);
      CHECK_CUDA(smxx::launch_activation(launch, {b.input(), y.view(), real(rows), columns},
                                         static_cast<Activation>(function)));
      compare("activation " + std::to_string(function) + " " + shape.text(), y,
              [&](int r, int c) { return activate(static_cast<Activation>(function), b.at(r, c)); });
    }
    TestMatrix y(rows, rows + 50, columns, stride);
    CHECK_CUDA(smxx::launch_add(launch, {a.input(), b.input(), y.view(), real(rows), columns}));
    compare("add " + shape.text(), y, [&](int r, int c) { return a.at(r, c) + b.at(r, c); });

    // Every row once, in another order; then back again.
    std::vector<std::int32_t> order(rows);
    for (int row = 0; row < rows; ++row) order[row] = rows - 1 - row;
    const DeviceBuffer<std::int32_t> device_order(order);
    const auto bytes = [](const TestMatrix& matrix) { return reinterpret_cast<std::byte*>(matrix.device.data()); };
    for (const bool scatter : {false, true}) {
      y.device.poison();
      const smxx::IndexedRowsOperands operands{
          {bytes(a), 2 * stride}, {bytes(y), 2 * stride}, device_order.data(), real(rows), 2 * columns};
      CHECK_CUDA(scatter ? smxx::launch_scatter_rows(launch, operands) : smxx::launch_gather_rows(launch, operands));
      compare((scatter ? "scatter_rows " : "gather_rows ") + shape.text(), y,
              [&](int r, int c) { return a.at(order[r], c); });
    }

    // Position embeddings of this many columns, sampled at four rows of a table, or at five.
    const int table_rows = 256;
    TestMatrix table(table_rows, table_rows, columns, stride);
    table.fill();
    for (const int taps : {4, 5}) {
      std::vector<std::int32_t> index(static_cast<std::size_t>(rows) * taps);
      std::vector<float> weights(index.size());
      for (std::size_t at = 0; at < index.size(); ++at) {
        index[at] = static_cast<std::int32_t>(at * 37 % table_rows);
        weights[at] = static_cast<float>(at % 11) / 8 - 0.5f;
      }
      const DeviceBuffer<std::int32_t> device_index(index);
      const DeviceBuffer<float> device_weights(weights);
      y.device.poison();
      CHECK_CUDA(smxx::launch_interpolate_rows(
          launch,
          {table.input(), device_index.data(), {device_weights.data(), taps}, y.view(), real(rows), columns, taps}));
      compare("interpolate_rows, " + std::to_string(taps) + " taps " + shape.text(), y, [&](int r, int c) {
        double sum = 0;
        for (int tap = 0; tap < taps; ++tap) sum += weights[r * taps + tap] * table.at(index[r * taps + tap], c);
        return sum;
      });
    }
  }

  for (const int head_size : {64, 72, 80, 96, 128, 20, 12}) {
    for (const bool qk : {false, true}) {
      for (const bool in_place : {false, true}) {
        const int rows = 77;
        const int heads = 3;
        const int columns = (qk ? 3 : 1) * heads * head_size;
        const int table_rows = 50;
        const int quarter = head_size / 4;
        std::vector<float> angles;
        std::vector<double> radians;
        for (int p = 0; p < table_rows; ++p) {
          for (int i = 0; i < quarter; ++i) radians.push_back(p * std::pow(10000.0, -2.0 * i / (2 * quarter)));
          for (int i = 0; i < quarter; ++i) angles.push_back(static_cast<float>(std::cos(radians[p * quarter + i])));
          for (int i = 0; i < quarter; ++i) angles.push_back(static_cast<float>(std::sin(radians[p * quarter + i])));
        }
        std::vector<std::int32_t> positions;
        for (int row = 0; row < rows; ++row)
          positions.insert(positions.end(), {row * 3 % table_rows, row * 11 % table_rows});
        const DeviceBuffer<float> device_angles(angles);
        const DeviceBuffer<std::int32_t> device_positions(positions);
        TestMatrix x(rows, rows + 50, columns, columns + 8);
        TestMatrix other(rows, rows + 50, columns, columns + 8);
        x.fill();
        const TestMatrix& y = in_place ? x : other;
        const smxx::RopeOperands operands{
            x.input(), y.view(), {device_positions.data(), 2}, {device_angles.data(), head_size / 2}, real(rows),
            heads,     head_size};
        CHECK_CUDA(qk ? smxx::launch_rope_qk(launch, operands) : smxx::launch_rope(launch, operands));
        compare(std::string(qk ? "rope_qk" : "rope") + (in_place ? " in place " : " ") + std::to_string(head_size), y,
                [&](int r, int c) {
                  if (c / head_size >= (qk ? 2 : 1) * heads) return x.at(r, c);
                  const int i = c % head_size;
                  const int pair = i % (head_size / 2);
                  const double angle = radians[positions[2 * r + (pair < quarter ? 0 : 1)] * quarter + pair % quarter];
                  const int partner = i < head_size / 2 ? c + head_size / 2 : c - head_size / 2;
                  const double sign = i < head_size / 2 ? -1 : 1;
                  return x.at(r, c) * std::cos(angle) + sign * x.at(r, partner) * std::sin(angle);
                });
      }
    }
  }

  for (const int area : {256, 196, 25}) {
    const int rows = 60;
    const int channels = 3;
    const int temporal = 2;
    const int columns = channels * temporal * area;
    std::vector<std::uint8_t> pixels;
    std::vector<std::uint32_t> sources;
    for (int row = 0; row < rows; ++row) {
      sources.push_back(static_cast<std::uint32_t>(pixels.size()) | static_cast<std::uint32_t>(row % 3));
      const int values = row % 3 == 0 ? channels * area : columns;
      for (int i = 0; i < values; ++i) {
        if (row % 3 < 2) {
          pixels.push_back(static_cast<std::uint8_t>(row * 31 + i * 7));
        } else {
          const float value = static_cast<float>((row * 13 + i * 5) % 97) / 31 - 1.5f;
          const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
          pixels.insert(pixels.end(), bytes, bytes + sizeof(value));
        }
      }
      while (pixels.size() % 4 != 0) pixels.push_back(0xff);
    }
    const std::vector<float> scale{0.0078f, -1, 0.0171f, -2.1f, 0.0174f, -1.8f};
    const DeviceBuffer<std::uint8_t> device_pixels(pixels);
    const DeviceBuffer<std::uint32_t> device_sources(sources);
    const DeviceBuffer<float> device_scale(scale);
    TestMatrix y(rows, rows + 50, columns, columns);
    CHECK_CUDA(smxx::launch_unpack_patches(launch, {device_pixels.data(), device_sources.data(), device_scale.data(),
                                                    y.view(), real(rows), channels, temporal, area}));
    compare("unpack_patches area " + std::to_string(area), y, [&](int r, int c) {
      const std::uint8_t* from = pixels.data() + (sources[r] & ~3u);
      if (r % 3 == 2) return static_cast<double>(reinterpret_cast<const float*>(from)[c]);
      const int channel = c / (temporal * area);
      const int at = r % 3 == 0 ? channel * area + c % area : c;
      return static_cast<double>(from[at]) * scale[2 * channel] + scale[2 * channel + 1];
    });
  }
}

void time() {
  const Launch base = default_launch();
  const auto print = [](const std::string& name, double bytes, double ms) {
    std::printf("%-44s %8.1f us  %6.0f GB/s\n", name.c_str(), ms * 1e3, bytes / ms / 1e6);
  };
  // 55 296 patches: every buffer is larger than the L2.
  for (const int rows : {196, 784, 4096, 55296}) {
    const int heads = 16;
    const int head_size = 72;
    const std::size_t n = static_cast<std::size_t>(rows);
    DeviceBuffer<Bf16> x(n * 4304);
    DeviceBuffer<Bf16> y(n * 4304);
    DeviceBuffer<Bf16> weight(8192);
    fill_normal(x.data(), x.size());
    fill_normal(y.data(), y.size());
    fill_normal(weight.data(), weight.size());
    const DeviceBuffer<std::int32_t> count(std::vector<std::int32_t>{rows});
    const Rows real{count.data(), 0, rows};
    const Rows quarter{nullptr, rows / 4, rows / 4};
    std::vector<std::int32_t> positions;
    for (int row = 0; row < rows; ++row) positions.insert(positions.end(), {row / 100 % 48, row % 48});
    const DeviceBuffer<std::int32_t> device_positions(positions);
    const DeviceBuffer<float> angles(48 * 36);
    fill_normal(angles.data(), angles.size());
    const DeviceBuffer<Bf16> table(48 * 48 * 1152);
    fill_normal(table.data(), table.size());
    // The four around each patch, which neighbours share.
    std::vector<std::int32_t> taps;
    for (int row = 0; row < rows; ++row) {
      const std::int32_t corner = row / 100 % 47 * 48 + row % 47;
      taps.insert(taps.end(), {corner, corner + 1, corner + 48, corner + 49});
    }
    const DeviceBuffer<std::int32_t> tap_index(taps);
    const DeviceBuffer<float> tap_weights(std::vector<float>(taps.size(), 0.25f));
    std::vector<std::uint32_t> sources;
    for (int row = 0; row < rows; ++row) sources.push_back(static_cast<std::uint32_t>(row) * 768);
    const DeviceBuffer<std::uint32_t> device_sources(sources);
    for (int row = 0; row < rows; ++row) sources[row] = static_cast<std::uint32_t>(row) * 6144 | 2;
    const DeviceBuffer<std::uint32_t> normalized_sources(sources);
    DeviceBuffer<Bf16> packed(n * 6912);
    fill_normal(packed.data(), packed.size());
    std::vector<std::int32_t> order(n);
    for (int row = 0; row < rows; ++row)
      order[row] = static_cast<std::int32_t>(static_cast<std::int64_t>(row) * 769 % rows);
    const DeviceBuffer<std::int32_t> device_order(order);
    const DeviceBuffer<float> scale(6);
    const auto time_kernel = [&](const std::string& name, double bytes, auto&& call) {
      const double ms = time_in_graph_ms([&](cudaStream_t stream, int) {
        Launch launch = base;
        launch.stream = stream;
        CHECK_CUDA(call(launch));
      });
      print(name + " " + std::to_string(rows), bytes, ms);
    };
    const double elements = 2.0 * rows;
    time_kernel("layernorm 1152", elements * 1152 * 2, [&](const Launch& l) {
      return smxx::launch_layernorm(
          l, {{x.data(), 1152}, {y.data(), 1152}, weight.data(), weight.data(), real, 1152, 1e-6f});
    });
    time_kernel("layernorm 4608 (rows/4)", elements * 1152 * 2, [&](const Launch& l) {
      return smxx::launch_layernorm(
          l, {{x.data(), 4608}, {y.data(), 4608}, weight.data(), weight.data(), quarter, 4608, 1e-6f});
    });
    time_kernel("rmsnorm 1280", elements * 1280 * 2, [&](const Launch& l) {
      return smxx::launch_rmsnorm(l, {{x.data(), 1280}, {y.data(), 1280}, weight.data(), real, 1280, 1e-6f});
    });
    time_kernel("gate silu 3420, halves of one product", elements * 3420 * 3, [&](const Launch& l) {
      return smxx::launch_gate(l, {{packed.data(), 6840}, {packed.data() + 3420, 6840}, {y.data(), 3420}, real, 3420},
                               Activation::silu);
    });
    time_kernel("gate silu 3456, halves of one product", elements * 3456 * 3, [&](const Launch& l) {
      return smxx::launch_gate(l, {{packed.data(), 6912}, {packed.data() + 3456, 6912}, {y.data(), 3456}, real, 3456},
                               Activation::silu);
    });
    const auto raw = [](auto* data) { return reinterpret_cast<std::byte*>(data); };
    time_kernel("gather_rows 1152", elements * 1152 * 2, [&](const Launch& l) {
      return smxx::launch_gather_rows(l,
                                      {{raw(x.data()), 2304}, {raw(y.data()), 2304}, device_order.data(), real, 2304});
    });
    time_kernel("gather_rows 4 x i32", rows * 36.0, [&](const Launch& l) {
      return smxx::launch_gather_rows(l, {{raw(x.data()), 16}, {raw(y.data()), 16}, device_order.data(), real, 16});
    });
    time_kernel("unpack_patches normalized 1536", rows * 6144.0 + elements * 1536, [&](const Launch& l) {
      return smxx::launch_unpack_patches(l, {reinterpret_cast<std::uint8_t*>(packed.data()),
                                             normalized_sources.data(),
                                             scale.data(),
                                             {y.data(), 1536},
                                             real,
                                             3,
                                             2,
                                             256});
    });
    time_kernel("activation gelu_tanh 4304", elements * 4304 * 2, [&](const Launch& l) {
      return smxx::launch_activation(l, {{x.data(), 4304}, {y.data(), 4304}, real, 4304}, Activation::gelu_tanh);
    });
    time_kernel("add 1152", elements * 1152 * 3, [&](const Launch& l) {
      return smxx::launch_add(l, {{x.data(), 1152}, {x.data() + n * 1152, 1152}, {y.data(), 1152}, real, 1152});
    });
    time_kernel("unpack_patches u8_still 1536", rows * 768.0 + elements * 1536, [&](const Launch& l) {
      return smxx::launch_unpack_patches(l, {reinterpret_cast<std::uint8_t*>(x.data()),
                                             device_sources.data(),
                                             scale.data(),
                                             {y.data(), 1536},
                                             real,
                                             3,
                                             2,
                                             256});
    });
    time_kernel("interpolate_rows 1152, 4 taps", rows * 32.0 + elements * 1152, [&](const Launch& l) {
      return smxx::launch_interpolate_rows(
          l, {{table.data(), 1152}, tap_index.data(), {tap_weights.data(), 4}, {y.data(), 1152}, real, 1152, 4});
    });
    time_kernel("rope_qk 3456, in place", elements * 2304 * 2, [&](const Launch& l) {
      return smxx::launch_rope_qk(l, {{x.data(), 3456},
                                      {x.data(), 3456},
                                      {device_positions.data(), 2},
                                      {angles.data(), 36},
                                      real,
                                      heads,
                                      head_size});
    });
  }
}

}  // namespace
}  // namespace vitgraph::dev

int main(int argc, char** argv) {
  using namespace vitgraph::dev;
  const std::string what = argc > 1 ? argv[1] : "check";
  if (what.rfind("check", 0) == 0) check();
  if (what == "time") time();
  std::printf("rows %s: %s\n", what.c_str(), all_passed() ? "passed" : "FAILED");
  return all_passed() ? 0 : 1;
}
