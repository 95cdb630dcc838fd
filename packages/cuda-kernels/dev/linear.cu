// Linear layers: the portable kernel and Hopper's, every tile.
//
//   linear check    both against float64, with every activation, bias, residual, strides, ragged shapes
//   linear time     microseconds (in a graph of 20) and TFLOP/s at the tower's shapes, by tile; * marks the chosen one
#include <cstring>

#include "harness.h"
#include "kernels/smxx/linear/linear.h"
#include "kernels/sm90/linear/linear.h"

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

const std::vector<Kernel> kKernels{{"smxx", true, {}},
                                   {"256x192", false, LinearTile::rows256_columns192},
                                   {"192x192", false, LinearTile::rows192_columns192},
                                   {"128x192", false, LinearTile::rows128_columns192},
                                   {"128x128", false, LinearTile::rows128_columns128},
                                   {"128x64", false, LinearTile::rows128_columns64},
                                   {"64x128", false, LinearTile::rows64_columns128},
                                   {"64x64", false, LinearTile::rows64_columns64}};

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
  int pad;  // added to every row stride
};

void check(bool tiny) {
  std::vector<Case> cases{{1, 144, 144, 0},    {63, 304, 144, 8},    {129, 1152, 1152, 0}, {300, 4304, 1152, 8}, {250, 1152, 4304, 0},
                          {17, 228, 160, 0},   {40, 160, 228, 0},    {33, 77, 51, 3},      {64, 64, 16, 0},      {1000, 3456, 1152, 0},
                          {5, 4608, 4608, 16}, {2500, 1152, 200, 0}, {700, 200, 72, 4096}};
  if (tiny) cases = {{1, 144, 144, 0}, {130, 304, 144, 8}, {40, 160, 228, 0}, {33, 77, 51, 3}, {300, 456, 80, 0}};
  int combination = 0;
  for (const Case& shape : cases) {
    for (int function = 0; function < 5; ++function, ++combination) {
      const bool with_bias = combination % 3 != 0;
      const bool with_residual = combination % 2 == 0;
      const int capacity = shape.rows + 140;
      const auto activation = static_cast<Activation>(function);
      const std::int64_t x_stride = shape.inner + shape.pad;
      const std::int64_t y_stride = shape.columns + shape.pad;
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
      for (const Kernel& kernel : kKernels) {
        const bool vectors = shape.columns % 8 == 0 && shape.inner % 8 == 0 && shape.pad % 8 == 0;
        y.poison();
        const cudaError_t error = kernel.launch(default_launch(), operands, activation);
        CHECK_CUDA(cudaDeviceSynchronize());
        const std::string name = "linear " + kernel.name + " " + std::to_string(shape.rows) + "x" + std::to_string(shape.columns) + "x" +
                                 std::to_string(shape.inner) + " activation " + std::to_string(function);
        if (!kernel.portable && !vectors) {
          report(name + " is refused", error == cudaErrorInvalidValue ? 0 : INFINITY, 0);
          continue;
        }
        CHECK_CUDA(error);
        // One rounding to bf16, 1.7e-3 in the mean square; few elements can come out above that mean.
        report(name, relative_error(y.download(), y_stride, expected, shape.rows, shape.columns), 3e-3);
        if (with_residual) {
          std::vector<Bf16> in_place = residual_host;
          y.poison();
          CHECK_CUDA(cudaMemcpy2D(y.data(), y_stride * 2, residual.data(), y_stride * 2, shape.columns * 2, shape.rows, cudaMemcpyDeviceToDevice));
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

void time() {
  struct Layer {
    int columns;
    int inner;
    Activation activation;
    bool residual;
  };
  for (const int patches : {256, 784, 4096, 16384, 55296}) {
    for (const Layer& layer : {Layer{3456, 1152, Activation::none, false}, Layer{1152, 1152, Activation::none, true},
                               Layer{4304, 1152, Activation::gelu_tanh, false}, Layer{1152, 4304, Activation::none, true},
                               Layer{4608, 4608, Activation::gelu_erf, false}}) {
      const int rows = layer.inner == 4608 ? patches / 4 : patches;
      const std::size_t n = static_cast<std::size_t>(rows);
      const DeviceBuffer<Bf16> x(n * layer.inner);
      const DeviceBuffer<Bf16> weight(static_cast<std::size_t>(layer.columns) * layer.inner);
      const DeviceBuffer<Bf16> bias(layer.columns);
      const DeviceBuffer<Bf16> y(n * layer.columns);
      fill_normal(x.data(), x.size());
      fill_normal(weight.data(), weight.size());
      fill_normal(bias.data(), bias.size());
      fill_normal(y.data(), y.size());
      const LinearOperands operands{.x = {x.data(), layer.inner},
                                    .weight = {weight.data(), layer.inner},
                                    .bias = bias.data(),
                                    .residual = {layer.residual ? y.data() : nullptr, layer.columns},
                                    .y = {y.data(), layer.columns},
                                    .rows = {nullptr, rows, rows},
                                    .columns = layer.columns,
                                    .inner = layer.inner};
      const LinearTile chosen = sm90::choose_linear_tile(rows, layer.columns, layer.inner, multiprocessors());
      std::printf("linear %6d x %4d x %4d", rows, layer.columns, layer.inner);
      for (const Kernel& kernel : kKernels) {
        const double ms = time_in_graph_ms(
            [&](cudaStream_t stream, int) {
              Launch launch = default_launch();
              launch.stream = stream;
              launch.programmatic = std::getenv("PROGRAMMATIC") != nullptr;
              CHECK_CUDA(kernel.launch(launch, operands, layer.activation));
            },
            20, 5);
        std::printf("  %s%s %.1f us = %.0f", kernel.name.c_str(), !kernel.portable && kernel.tile == chosen ? "*" : "", ms * 1e3,
                    2.0 * rows * layer.columns * layer.inner / ms / 1e9);
      }
      std::printf("\n");
    }
  }
}

}  // namespace
}  // namespace vitgraph::dev

int main(int argc, char** argv) {
  using namespace vitgraph::dev;
  const std::string what = argc > 1 ? argv[1] : "check";
  if (what.rfind("check", 0) == 0) check(what == "check-tiny");
  if (what == "time") time();
  std::printf("linear %s: %s\n", what.c_str(), all_passed() ? "passed" : "FAILED");
  return all_passed() ? 0 : 1;
}
