// Linear layers: the portable kernel and Hopper's, every tile.
//
//   linear check    both against float64, with every activation, bias, residual, rotation, strides, ragged shapes
//   linear time     microseconds (in a graph of 20) and TFLOP/s at the tower's shapes, by tile; * marks the chosen one
//   linear few      the same for few rows, with the splits, weights from memory and programmatic launches: as a run has them
//   linear fold     the tower's four products with layernorm kernels between them, against statistics and norms in the epilogues
//   linear rope     the packed projection and then rope_qk, against the projection with the rotation in its epilogue
// A second argument ("128x64/3") leaves one kernel; "" all. Further ones are the row counts of fold.
#include <cstring>
#include <iterator>
#include <optional>

#include "harness.h"
#include "kernels/sm90/linear/linear.h"
#include "kernels/smxx/layernorm/layernorm.h"
#include "kernels/smxx/linear/linear.h"
#include "kernels/smxx/rope/rope.h"

namespace vitgraph::dev {
namespace {

using namespace kernels;  // NOLINT: a bench of all of them
using kernels::sm90::LinearTile;

struct Kernel {
  std::string name;
  bool portable;
  LinearTile tile;
  cudaError_t launch(const Launch& launch, const LinearOperands& operands, Activation activation) const {
    return portable ? smxx::launch_linear(launch, operands, activation)
                    : sm90::launch_linear(launch, operands, activation, tile);
  }
};

/// All, or those whose names are `wanted`.
std::vector<Kernel> list_kernels(const std::string& wanted) {
  std::vector<Kernel> kernels{{"smxx", true, {}}};
  for (std::size_t i = 0; i < std::size(sm90::kLinearTileNames); ++i) {
    kernels.push_back({sm90::kLinearTileNames[i], false, static_cast<LinearTile>(i)});
  }
  std::erase_if(kernels, [&](const Kernel& kernel) { return !wanted.empty() && kernel.name != wanted; });
  return kernels;
}

std::vector<Kernel> kernels_under_test;

bool is_split(const Kernel& kernel) { return kernel.name.find('/') != std::string::npos; }

/// Hopper's tiles; a split only where it can win.
bool is_timed(const Kernel& kernel, int rows) { return !kernel.portable && !(is_split(kernel) && rows > 2048); }

double activate(Activation function, double x) {
  switch (function) {
    case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::gelu_erf: return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::quick_gelu: return x / (1 + std::exp(-1.702 * x));
    case Activation::silu: return x / (1 + std::exp(-x));
    default: return x;
  }
}

__global__ void reference_kernel(LinearOperands o, int rows, double* y) {
  const int column = blockIdx.x * blockDim.x + threadIdx.x;
  const int row = blockIdx.y;
  if (column >= o.columns || row >= rows) return;
  double sum = o.bias == nullptr ? 0 : __bfloat162float(o.bias[column]);
  for (int k = 0; k < o.inner; ++k) {
    sum += static_cast<double>(__bfloat162float(o.x.data[row * o.x.row_stride + k])) *
           __bfloat162float(o.weight.data[column * o.weight.row_stride + k]);
  }
  y[static_cast<std::int64_t>(row) * o.columns + column] = sum;
}

struct Case {
  int rows;
  int columns;
  int inner;
  // Added to the row strides of x and weight, and of residual and y.
  int x_pad;
  int y_pad;
};

void check(bool tiny) {
  std::vector<Case> cases{
      {1, 144, 144, 0, 0},     {63, 304, 144, 8, 8},     {129, 1152, 1152, 0, 0}, {300, 4304, 1152, 8, 8},
      {250, 1152, 4304, 0, 0}, {17, 228, 160, 0, 0},     {40, 160, 228, 0, 0},    {33, 77, 51, 3, 3},
      {64, 64, 16, 0, 0},      {1000, 3456, 1152, 0, 0}, {5, 4608, 4608, 16, 16}, {2500, 1152, 200, 0, 0},
      {700, 200, 72, 4096, 8},  // An inner dimension that ends within 16 bytes: of Qwen2.5-VL's MLP, of Gemma 3's patches.
      {300, 1280, 3420, 4, 0}, {130, 1152, 588, 4, 8},   {70, 152, 65, 7, 0}};
  if (tiny) {
    cases = {{1, 144, 144, 0, 0}, {130, 304, 144, 8, 8}, {40, 160, 228, 0, 0},
             {33, 77, 51, 3, 3},  {300, 456, 80, 0, 0},  {130, 304, 77, 3, 0}};
  }
  int combination = 0;
  for (const Case& shape : cases) {
    for (int function = 0; function < 5; ++function, ++combination) {
      const bool with_bias = combination % 3 != 0;
      const bool with_residual = combination % 2 == 0;
      const int capacity = shape.rows + 140;
      const auto activation = static_cast<Activation>(function);
      const std::int64_t x_stride = shape.inner + shape.x_pad;
      const std::int64_t y_stride = shape.columns + shape.y_pad;
      const DeviceBuffer<Bf16> x(capacity * x_stride);
      const DeviceBuffer<Bf16> weight(shape.columns * x_stride);
      const DeviceBuffer<Bf16> bias(shape.columns);
      const DeviceBuffer<Bf16> residual(capacity * y_stride);
      const DeviceBuffer<Bf16> y(capacity * y_stride);
      const DeviceBuffer<double> reference(static_cast<std::size_t>(shape.rows) * shape.columns);
      x.poison();
      fill_normal(x.data(), shape.rows * x_stride);
      fill_normal(weight.data(), weight.size(), 0, 1 / std::sqrt(static_cast<float>(shape.inner)));
      fill_normal(bias.data(), bias.size());
      fill_normal(residual.data(), residual.size());
      const DeviceBuffer<std::int32_t> count(std::vector<std::int32_t>{shape.rows - 1});
      LinearOperands operands{.x = {x.data(), x_stride},
                              .weight = {weight.data(), x_stride},
                              .bias = with_bias ? bias.data() : nullptr,
                              .residual = {with_residual ? residual.data() : nullptr, y_stride},
                              .y = {y.data(), y_stride},
                              .rows = {count.data(), 1, capacity},
                              .columns = shape.columns,
                              .inner = shape.inner};
      reference_kernel<<<dim3((shape.columns + 127) / 128, shape.rows), 128>>>(operands, shape.rows, reference.data());
      CHECK_CUDA(cudaDeviceSynchronize());
      std::vector<double> expected = reference.download();
      const std::vector<Bf16> residual_host = residual.download();
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(expected.size()); ++i) {
        expected[i] = activate(activation, expected[i]);
        if (with_residual) expected[i] += to_float(residual_host[i / shape.columns * y_stride + i % shape.columns]);
      }
      for (const Kernel& kernel : kernels_under_test) {
        const bool vectors = shape.columns % 8 == 0 && x_stride % 8 == 0 && y_stride % 8 == 0;
        y.poison();
        const cudaError_t error = kernel.launch(default_launch(), operands, activation);
        CHECK_CUDA(cudaDeviceSynchronize());
        const std::string name = "linear " + kernel.name + " " + std::to_string(shape.rows) + "x" +
                                 std::to_string(shape.columns) + "x" + std::to_string(shape.inner) + " activation " +
                                 std::to_string(function);
        if (!kernel.portable && (!vectors || (with_residual && activation != Activation::none))) {
          report(name + " is refused", error == cudaErrorInvalidValue ? 0 : INFINITY, 0);
          continue;
        }
        CHECK_CUDA(error);
        // One rounding to bf16, 1.7e-3 in the mean square; few elements can come out above that mean.
        report(name, relative_error(y.download(), y_stride, expected, shape.rows, shape.columns), 3e-3);
        if (with_residual) {
          std::vector<Bf16> in_place = residual_host;
          y.poison();
          CHECK_CUDA(cudaMemcpy2D(y.data(), y_stride * 2, residual.data(), y_stride * 2, shape.columns * 2, shape.rows,
                                  cudaMemcpyDeviceToDevice));
          LinearOperands own = operands;
          own.residual.data = y.data();
          CHECK_CUDA(kernel.launch(default_launch(), own, activation));
          CHECK_CUDA(cudaDeviceSynchronize());
          report(name + " in place", relative_error(y.download(), y_stride, expected, shape.rows, shape.columns), 3e-3);
        }
      }
    }
  }
}

/// Cosines and sines of `positions` rows, and a position for each of `rows` patches.
struct Turns {
  Turns(int rows, int head_size) : quarter(head_size / 4) {
    for (int p = 0; p < kPositions; ++p) {
      for (int i = 0; i < quarter; ++i) angles.push_back(static_cast<float>(std::cos(radians(p, i))));
      for (int i = 0; i < quarter; ++i) angles.push_back(static_cast<float>(std::sin(radians(p, i))));
    }
    for (int row = 0; row < rows; ++row)
      positions.insert(positions.end(), {row / 14 % kPositions, row % kPositions, 0, 0});
    device_angles.emplace(angles);
    device_positions.emplace(positions);
  }
  double radians(int position, int i) const { return position * std::pow(10000.0, -i / static_cast<double>(quarter)); }
  LinearRotation rotation(int columns) const {
    return {{device_positions->data(), 4}, {device_angles->data(), 2 * quarter}, columns, 4 * quarter};
  }

  static constexpr int kPositions = 48;
  int quarter;
  std::vector<float> angles;
  std::vector<std::int32_t> positions;
  std::optional<DeviceBuffer<float>> device_angles;
  std::optional<DeviceBuffer<std::int32_t>> device_positions;
};

void check_rotation(bool tiny) {
  struct RotationCase {
    int rows;
    int heads;
    int head_size;
    int inner;
    int pad;
  };
  std::vector<RotationCase> cases{
      {196, 16, 72, 1152, 0}, {5, 16, 64, 1024, 8}, {300, 4, 80, 328, 0}, {70, 3, 8, 40, 0}, {33, 2, 128, 51, 3}};
  if (tiny) cases = {{130, 2, 72, 144, 0}, {5, 3, 8, 40, 0}};
  for (const RotationCase& shape : cases) {
    const int columns = 3 * shape.heads * shape.head_size;
    const int turned = columns / 3 * 2;
    const int capacity = shape.rows + 140;
    const std::int64_t x_stride = shape.inner + shape.pad;
    const DeviceBuffer<Bf16> x(capacity * x_stride);
    const DeviceBuffer<Bf16> weight(columns * x_stride);
    const DeviceBuffer<Bf16> bias(columns);
    const DeviceBuffer<Bf16> y(static_cast<std::size_t>(capacity) * columns);
    const DeviceBuffer<double> reference(static_cast<std::size_t>(shape.rows) * columns);
    x.poison();
    fill_normal(x.data(), shape.rows * x_stride);
    fill_normal(weight.data(), weight.size(), 0, 1 / std::sqrt(static_cast<float>(shape.inner)));
    fill_normal(bias.data(), bias.size());
    const DeviceBuffer<std::int32_t> count(std::vector<std::int32_t>{shape.rows - 1});
    const Turns turns(shape.rows, shape.head_size);
    const LinearOperands operands{.x = {x.data(), x_stride},
                                  .weight = {weight.data(), x_stride},
                                  .bias = bias.data(),
                                  .residual = {nullptr, 0},
                                  .y = {y.data(), columns},
                                  .rows = {count.data(), 1, capacity},
                                  .columns = columns,
                                  .inner = shape.inner,
                                  .rotation = turns.rotation(turned)};
    reference_kernel<<<dim3((columns + 127) / 128, shape.rows), 128>>>(operands, shape.rows, reference.data());
    CHECK_CUDA(cudaDeviceSynchronize());
    std::vector<double> expected = reference.download();
    for (int row = 0; row < shape.rows; ++row) {
      for (int column = 0; column < turned; column += 2) {
        const int pair = column % shape.head_size / 2;
        const double angle =
            turns.radians(turns.positions[4 * row + (pair < turns.quarter ? 0 : 1)], pair % turns.quarter);
        double* at = &expected[static_cast<std::size_t>(row) * columns + column];
        const double a = at[0];
        const double b = at[1];
        at[0] = a * std::cos(angle) - b * std::sin(angle);
        at[1] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
    const std::string of = std::to_string(shape.rows) + " rows, " + std::to_string(shape.heads) + " heads of " +
                           std::to_string(shape.head_size);
    for (const Kernel& kernel : kernels_under_test) {
      y.poison();
      const cudaError_t error = kernel.launch(default_launch(), operands, Activation::none);
      CHECK_CUDA(cudaDeviceSynchronize());
      if (!kernel.portable && shape.pad % 8 != 0) {
        report("rotation " + kernel.name + " is refused", error == cudaErrorInvalidValue ? 0 : INFINITY, 0);
        continue;
      }
      CHECK_CUDA(error);
      // Rounded before the rotation and after it: √2 times one rounding's 1.7e-3.
      report("rotation " + kernel.name + " " + of, relative_error(y.download(), columns, expected, shape.rows, columns),
             4e-3);
    }
    // As cuBLASLt's products are turned.
    y.poison();
    LinearOperands plain = operands;
    plain.rotation = {};
    CHECK_CUDA(smxx::launch_linear(default_launch(), plain, Activation::none));
    CHECK_CUDA(smxx::launch_rope_pairs(default_launch(), operands.rotation, operands.y, operands.rows));
    CHECK_CUDA(cudaDeviceSynchronize());
    report("rope_pairs " + of, relative_error(y.download(), columns, expected, shape.rows, columns), 4e-3);
  }
}

/// y = (x · weightᵀ − mean · u) / σ + v of rows as they are stored, in float64.
__global__ void norm_reference_kernel(LinearOperands o, int rows, double* y) {
  const int column = blockIdx.x * blockDim.x + threadIdx.x;
  const int row = blockIdx.y;
  if (column >= o.columns || row >= rows) return;
  const Bf16* x = o.x.data + row * o.x.row_stride;
  double mean = 0;
  for (int k = 0; k < o.inner; ++k) mean += static_cast<double>(__bfloat162float(x[k])) / o.inner;
  if (!o.norm.centred) mean = 0;
  double squares = 0;
  double sum = 0;
  for (int k = 0; k < o.inner; ++k) {
    const double centred = __bfloat162float(x[k]) - mean;
    squares += centred * centred;
    sum += centred * __bfloat162float(o.weight.data[column * o.weight.row_stride + k]);
  }
  y[static_cast<std::int64_t>(row) * o.columns + column] =
      sum / sqrt(squares / o.inner + o.norm.epsilon) + o.norm.v[column];
}

__global__ void sum_rows_kernel(View<const Bf16> weight, int rows, int columns, float* sums) {
  const int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  double sum = 0;
  for (int k = 0; k < columns; ++k) sum += __bfloat162float(weight.data[row * weight.row_stride + k]);
  sums[row] = static_cast<float>(sum);
}

/// Adds `mean` to every element of the first rows, and a channel of 1e4 where asked for.
__global__ void shift_rows_kernel(Bf16* x, std::int64_t size, int columns, float mean, bool channel) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < size;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    x[i] = __float2bfloat16_rn(channel && i % columns == 5 ? 1e4f : __bfloat162float(x[i]) + mean);
  }
}

/// A product writes rows and their statistics, another reads them through its norm.
void check_norm(bool tiny) {
  struct NormCase {
    int rows;
    int columns;
    int inner;
    int joined;
  };
  std::vector<NormCase> cases{{300, 1160, 1152, 1}, {77, 640, 4608, 4}, {129, 304, 168, 1}, {1, 64, 32, 2}};
  if (tiny) cases = {{130, 304, 168, 1}, {5, 64, 304, 2}};
  for (const NormCase& shape : cases) {
    const int written_columns = shape.inner / shape.joined;
    const int written_rows = shape.rows * shape.joined;
    const int capacity = shape.rows + 140;
    const int written_capacity = capacity * shape.joined;
    const DeviceBuffer<Bf16> nothing(static_cast<std::size_t>(std::max(written_capacity, written_columns)) * 64);
    CHECK_CUDA(cudaMemset(nothing.data(), 0, nothing.bytes()));
    const DeviceBuffer<Bf16> rows(static_cast<std::size_t>(written_capacity) * written_columns);
    const DeviceBuffer<Bf16> x(static_cast<std::size_t>(written_capacity) * written_columns);
    const DeviceBuffer<Bf16> weight(static_cast<std::size_t>(shape.columns) * shape.inner);
    const DeviceBuffer<float> u(shape.columns);
    const DeviceBuffer<float> v(shape.columns);
    const DeviceBuffer<float> statistics(row_statistics_size(written_capacity, written_columns));
    const DeviceBuffer<Bf16> y(static_cast<std::size_t>(capacity) * shape.columns);
    const DeviceBuffer<double> reference(static_cast<std::size_t>(shape.rows) * shape.columns);
    const DeviceBuffer<std::int32_t> count(std::vector<std::int32_t>{shape.rows - 1});
    const DeviceBuffer<std::int32_t> written_count(std::vector<std::int32_t>{written_rows - 1});
    // Without a mean: that is taken off where γ goes into the weight.
    fill_normal(weight.data(), weight.size(), 0, 1 / std::sqrt(static_cast<float>(shape.inner)));
    fill_normal(v.data(), v.size());
    sum_rows_kernel<<<divide_up(shape.columns, 128), 128>>>({weight.data(), shape.inner}, shape.columns, shape.inner,
                                                            u.data());
    for (int kind = 0; kind < 5; ++kind) {
      // Means in deviations; the fourth kind has the channel, the last is an RMSNorm's.
      const float mean = kind == 1 ? 10.0f : kind == 2 ? 1000.0f : 0.5f;
      fill_normal(rows.data(), rows.size());
      shift_rows_kernel<<<1024, 256>>>(rows.data(), rows.size(), written_columns, mean, kind == 3);
      const LinearOperands write{.x = {nothing.data(), 64},
                                 .weight = {nothing.data(), 64},
                                 .bias = nullptr,
                                 .residual = {rows.data(), written_columns},
                                 .y = {x.data(), written_columns},
                                 .rows = {written_count.data(), 1, written_capacity},
                                 .columns = written_columns,
                                 .inner = 64,
                                 .statistics = {statistics.data(), written_capacity}};
      const LinearOperands read{
          .x = {x.data(), shape.inner},
          .weight = {weight.data(), shape.inner},
          .bias = nullptr,
          .residual = {nullptr, 0},
          .y = {y.data(), shape.columns},
          .rows = {count.data(), 1, capacity},
          .columns = shape.columns,
          .inner = shape.inner,
          .norm = {{statistics.data(), written_capacity}, shape.joined, kind != 4, 1e-6f, u.data(), v.data()}};
      LinearOperands expected_of = read;
      expected_of.x.data = rows.data();
      norm_reference_kernel<<<dim3((shape.columns + 127) / 128, shape.rows), 128>>>(expected_of, shape.rows,
                                                                                    reference.data());
      CHECK_CUDA(cudaDeviceSynchronize());
      const std::vector<double> expected = reference.download();
      const auto check_pair = [&](const Kernel& writer, const Kernel& reader) {
        if (writer.portable || reader.portable) return;
        x.poison();
        y.poison();
        statistics.poison();
        CHECK_CUDA(writer.launch(default_launch(), write, Activation::none));
        const cudaError_t status = reader.launch(default_launch(), read, Activation::none);
        // Tiles that fill shared memory have no room for norms.
        if (status == cudaErrorNotSupported) return;
        CHECK_CUDA(status);
        CHECK_CUDA(cudaDeviceSynchronize());
        // One rounding, as in check. Means of 1000 deviations cancel, of sums that the tensor cores cut off, not round.
        report("norm " + writer.name + " to " + reader.name + " " + std::to_string(shape.rows) + "x" +
                   std::to_string(shape.columns) + "x" + std::to_string(shape.inner) + " kind " + std::to_string(kind),
               relative_error(y.download(), shape.columns, expected, shape.rows, shape.columns),
               kind == 2 ? 1e-2 : 3e-3);
      };
      for (const Kernel& kernel : kernels_under_test) {
        check_pair(kernel, kernels_under_test.back());
        check_pair(kernels_under_test.front(), kernel);
        check_pair(kernels_under_test[kernels_under_test.size() / 2], kernel);
      }
    }
  }
}

struct Layer {
  int columns;
  int inner;
  Activation activation;
  bool residual;
};
const std::vector<Layer> kLayers{{3456, 1152, Activation::none, false},
                                 {1152, 1152, Activation::none, true},
                                 {4304, 1152, Activation::gelu_tanh, false},
                                 {1152, 4304, Activation::none, true},
                                 {4608, 4608, Activation::gelu_erf, false}};

/// As a budget's, which are multiples of 128 rows: TMA takes longer for boxes that reach beyond their matrix.
int capacity_of(int rows) { return divide_up(rows, 128) * 128; }

/// One layer's buffers; with `copies` of the weights, that many products in a row find none of theirs in L2.
struct TimedLayer {
  TimedLayer(const Layer& layer, int rows, int copies)
      : layer(layer),
        rows(rows),
        copies(copies),
        x(static_cast<std::size_t>(capacity_of(rows)) * layer.inner),
        weight(static_cast<std::size_t>(layer.columns) * layer.inner * copies),
        bias(layer.columns),
        y(static_cast<std::size_t>(capacity_of(rows)) * layer.columns) {
    fill_normal(x.data(), x.size());
    fill_normal(weight.data(), weight.size());
    fill_normal(bias.data(), bias.size());
    fill_normal(y.data(), y.size());
  }
  LinearOperands operands(int call) const {
    const std::size_t size = static_cast<std::size_t>(layer.columns) * layer.inner;
    return {.x = {x.data(), layer.inner},
            .weight = {weight.data() + call % copies * size, layer.inner},
            .bias = bias.data(),
            .residual = {layer.residual ? y.data() : nullptr, layer.columns},
            .y = {y.data(), layer.columns},
            .rows = {nullptr, rows, capacity_of(rows)},
            .columns = layer.columns,
            .inner = layer.inner};
  }

  Layer layer;
  int rows;
  int copies;
  DeviceBuffer<Bf16> x;
  DeviceBuffer<Bf16> weight;
  DeviceBuffer<Bf16> bias;
  DeviceBuffer<Bf16> y;
};

template <typename Call>
double time_launches_us(bool programmatic, Call&& call, int calls = 20) {
  return 1e3 * time_in_graph_ms(
                   [&](cudaStream_t stream, int i) {
                     Launch launch = default_launch();
                     launch.stream = stream;
                     launch.programmatic = programmatic || launch.programmatic;
                     call(launch, i);
                   },
                   calls, 5);
}

void time(const std::vector<int>& patch_counts, bool few) {
  for (const int patches : patch_counts) {
    for (const Layer& layer : kLayers) {
      const int rows = layer.inner == 4608 ? divide_up(patches, 4) : patches;
      const TimedLayer timed(layer, rows, few ? 20 : 1);
      const LinearTile chosen = sm90::choose_linear_tile({rows, layer.columns, layer.inner}, multiprocessors());
      std::printf("linear %6d x %4d x %4d", rows, layer.columns, layer.inner);
      for (const Kernel& kernel : kernels_under_test) {
        if (few ? kernel.portable : is_split(kernel)) continue;
        const double us = time_launches_us(few, [&](const Launch& launch, int call) {
          CHECK_CUDA(kernel.launch(launch, timed.operands(call), layer.activation));
        });
        std::printf("  %s%s %.1f us = %.0f", kernel.name.c_str(), !kernel.portable && kernel.tile == chosen ? "*" : "",
                    us, 2.0 * rows * layer.columns * layer.inner / us / 1e6);
      }
      std::printf("\n");
    }
  }
}

void time_rotation() {
  for (const int rows : {196, 784, 4096, 16384, 50688}) {
    const TimedLayer timed({3456, 1152, Activation::none, false}, rows, rows < 1024 ? 20 : 1);
    const Turns turns(rows, 72);
    double before = INFINITY;
    double after = INFINITY;
    double product = INFINITY;
    std::string best;
    for (const Kernel& kernel : kernels_under_test) {
      if (!is_timed(kernel, rows)) continue;
      const auto plain = [&](const Launch& launch, int call) {
        CHECK_CUDA(kernel.launch(launch, timed.operands(call), Activation::none));
      };
      product = std::min(product, time_launches_us(true, plain));
      before = std::min(before, time_launches_us(true, [&](const Launch& launch, int call) {
                          plain(launch, call);
                          CHECK_CUDA(smxx::launch_rope_qk(launch, {{timed.y.data(), 3456},
                                                                   {timed.y.data(), 3456},
                                                                   {turns.device_positions->data(), 4},
                                                                   {turns.device_angles->data(), 36},
                                                                   {nullptr, rows, rows},
                                                                   16,
                                                                   72}));
                        }));
      const double us = time_launches_us(true, [&](const Launch& launch, int call) {
        LinearOperands operands = timed.operands(call);
        operands.rotation = turns.rotation(2304);
        CHECK_CUDA(kernel.launch(launch, operands, Activation::none));
      });
      if (us < after) best = kernel.name;
      after = std::min(after, us);
    }
    std::printf("qkv %6d rows: product %.1f us, with rope_qk %.1f us, rotation in the epilogue %.1f us (%s)\n", rows,
                product, before, after, best.c_str());
  }
}

/// Times of the tower's products without attention: as they are, with layernorm kernels, and with the norms in the epilogues.
void time_fold(const std::vector<int>& row_counts) {
  constexpr int kCopies = 20;
  struct Product {
    const char* name;
    int columns;
    int inner;
    Activation activation;
    bool writes;
    bool rotates;
  };
  const Product products[4] = {{"qkv", 3456, 1152, Activation::none, false, true},
                               {"proj", 1152, 1152, Activation::none, true, false},
                               {"fc1", 4304, 1152, Activation::gelu_tanh, false, false},
                               {"fc2", 1152, 4304, Activation::none, true, false}};
  std::vector<DeviceBuffer<Bf16>> weights;
  for (const Product& product : products) {
    const std::size_t size = static_cast<std::size_t>(product.columns) * product.inner * kCopies;
    weights.emplace_back(size);
    fill_normal(weights.back().data(), size, 0, 1 / std::sqrt(static_cast<float>(product.inner)));
  }
  const DeviceBuffer<Bf16> vector(4608);
  const DeviceBuffer<float> zeros(4608);
  fill_normal(vector.data(), 4608);
  CHECK_CUDA(cudaMemset(zeros.data(), 0, zeros.bytes()));
  for (const int rows : row_counts) {
    const Turns turns(rows, 72);
    const int capacity = capacity_of(rows);
    const DeviceBuffer<Bf16> residual(static_cast<std::size_t>(capacity) * 1152);
    const DeviceBuffer<Bf16> normal(static_cast<std::size_t>(capacity) * 1152);
    const DeviceBuffer<Bf16> packed(static_cast<std::size_t>(capacity) * 3456);
    const DeviceBuffer<Bf16> wide(static_cast<std::size_t>(capacity) * 4304);
    const DeviceBuffer<float> statistics(row_statistics_size(rows, 1152));
    fill_normal(residual.data(), residual.size());
    fill_normal(normal.data(), normal.size());
    fill_normal(packed.data(), packed.size());
    fill_normal(wide.data(), wide.size());
    const auto operands = [&](int index, int call, bool folded) {
      const Product& product = products[index];
      LinearOperands o{
          .x = {},
          .weight = {weights[index].data() + call * static_cast<std::size_t>(product.columns) * product.inner,
                     product.inner},
          .bias = vector.data(),
          .residual = {},
          .y = {},
          .rows = {nullptr, rows, capacity},
          .columns = product.columns,
          .inner = product.inner};
      const View<const Bf16> x[4] = {{folded ? residual.data() : normal.data(), 1152},
                                     {packed.data(), 3456},
                                     {folded ? residual.data() : normal.data(), 1152},
                                     {wide.data(), 4304}};
      const View<Bf16> y[4] = {
          {packed.data(), 3456}, {residual.data(), 1152}, {wide.data(), 4304}, {residual.data(), 1152}};
      o.x = x[index];
      o.y = y[index];
      if (product.rotates) o.rotation = turns.rotation(2304);
      if (product.writes) o.residual = {residual.data(), 1152};
      if (folded && product.writes) o.statistics = {statistics.data(), rows};
      if (folded && !product.writes) {
        o.bias = nullptr;
        o.norm = {{statistics.data(), rows}, 1, true, 1e-6f, zeros.data(), zeros.data()};
      }
      return o;
    };
    const auto norm = [&](const Launch& launch) {
      CHECK_CUDA(smxx::launch_layernorm(launch, {{residual.data(), 1152},
                                                 {normal.data(), 1152},
                                                 vector.data(),
                                                 vector.data(),
                                                 {nullptr, rows, rows},
                                                 1152,
                                                 1e-6f}));
    };
    // Statistics of something, before norms read them: few rows have small tiles, and more pieces.
    CHECK_CUDA(
        sm90::launch_linear(default_launch(), operands(1, 0, true), Activation::none,
                            rows < 1024 ? LinearTile::rows64_columns64 : LinearTile::rows128_columns192_cluster2x1));
    const int calls = rows < 8000 ? 20 : 6;
    std::vector<const Kernel*> best[2];
    std::vector<const Kernel*> candidates[2][4];
    std::printf("%6d rows:", rows);
    for (int index = 0; index < 4; ++index) {
      for (const bool folded : {false, true}) {
        std::vector<std::pair<double, const Kernel*>> found;
        for (const Kernel& kernel : kernels_under_test) {
          if (!is_timed(kernel, rows)) continue;
          // Tiles that fill shared memory have no room for norms.
          if (kernel.launch(default_launch(), operands(index, 0, folded), products[index].activation) ==
              cudaErrorNotSupported)
            continue;
          found.emplace_back(
              time_launches_us(
                  true,
                  [&](const Launch& launch, int call) {
                    CHECK_CUDA(kernel.launch(launch, operands(index, call, folded), products[index].activation));
                  },
                  calls),
              &kernel);
        }
        std::sort(found.begin(), found.end());
        for (const auto& [us, kernel] : found) {
          if (us < 1.15 * found[0].first) candidates[folded][index].push_back(kernel);
        }
        best[folded].push_back(found[0].second);
        std::printf("\n  %4s %s", products[index].name, folded ? "folded" : "as is ");
        for (std::size_t i = 0; i < std::min<std::size_t>(found.size(), 7); ++i)
          std::printf("  %.1f %s", found[i].first, found[i].second->name.c_str());
      }
    }
    std::printf("\n  layernorm %.1f\n", time_launches_us(
                                            true, [&](const Launch& launch, int) { norm(launch); }, calls));
    const auto layer = [&](bool with_norms, bool own_tiles, bool writes, bool reads) {
      return time_launches_us(
          true,
          [&](const Launch& launch, int call) {
            for (int index = 0; index < 4; ++index) {
              const bool folded = products[index].writes ? writes : reads;
              if (with_norms && !products[index].writes) norm(launch);
              CHECK_CUDA(
                  best[own_tiles][index]->launch(launch, operands(index, call, folded), products[index].activation));
            }
          },
          calls);
    };
    // A product alone and one among others want different tiles.
    for (const bool folded : {false, true}) {
      const double before = layer(!folded, folded, folded, folded);
      double least = before;
      for (int index = 0; index < 4; ++index) {
        const Kernel* kept = best[folded][index];
        for (const Kernel* candidate : candidates[folded][index]) {
          if (candidate == kept) continue;
          best[folded][index] = candidate;
          const double us = layer(!folded, folded, folded, folded);
          if (us < least) {
            least = us;
            kept = candidate;
          }
        }
        best[folded][index] = kept;
      }
      std::printf("        %s: tiles chosen alone %.1f us, in the chain %.1f us:", folded ? "folded" : "as is", before,
                  least);
      for (int index = 0; index < 4; ++index) std::printf(" %s", best[folded][index]->name.c_str());
      std::printf("\n");
    }
    struct Variant {
      const char* name;
      bool norms, own_tiles, writes, reads;
    };
    const Variant variants[] = {{"as is", true, false, false, false},
                                {"folded", false, true, true, true},
                                {"folded, same tiles", false, false, true, true},
                                {"no norm at all", false, false, false, false},
                                {"no norm, other tiles", false, true, false, false},
                                {"only written", false, false, true, false},
                                {"only read", false, false, false, true}};
    // Alternating: the card's clock drifts.
    std::vector<std::vector<double>> times(std::size(variants));
    for (int round = 0; round < 4; ++round) {
      for (std::size_t i = 0; i < std::size(variants); ++i) {
        const Variant& v = variants[i];
        times[i].push_back(layer(v.norms, v.own_tiles, v.writes, v.reads));
      }
    }
    std::printf("%6d rows: layer without attention", rows);
    for (std::size_t i = 0; i < std::size(variants); ++i) {
      std::sort(times[i].begin(), times[i].end());
      std::printf(", %s %.1f..%.1f", variants[i].name, times[i][0], times[i][3]);
    }
    std::printf(", at %.0f MHz\n", sm_clock_mhz());
  }
}

}  // namespace
}  // namespace vitgraph::dev

int main(int argc, char** argv) {
  using namespace vitgraph::dev;
  const std::string what = argc > 1 ? argv[1] : "check";
  kernels_under_test = list_kernels(argc > 2 ? argv[2] : "");
  if (what.rfind("check", 0) == 0) {
    check(what == "check-tiny");
    check_rotation(what == "check-tiny");
    check_norm(what == "check-tiny");
  }
  if (what == "time") time({256, 784, 3520, 4096, 15772, 50688}, false);
  if (what == "few") time({196, 784}, true);
  if (what == "norm") check_norm(false);
  if (what == "fold") {
    std::vector<int> rows;
    for (int i = 3; i < argc; ++i) rows.push_back(std::atoi(argv[i]));
    if (rows.empty()) rows = {196, 784, 1024, 2304, 3520, 4096, 15772, 50688};
    time_fold(rows);
  }
  if (what == "rope") time_rotation();
  std::printf("linear %s: %s\n", what.c_str(), all_passed() ? "passed" : "FAILED");
  return all_passed() ? 0 : 1;
}
