// What the kernel benches share: device buffers, random and poisoned contents, comparison with a float64 reference,
// timing. For development on a machine with a GPU; no part of the package.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "kernels/common/launch.h"

namespace vitgraph::dev {

using kernels::Bf16;
using kernels::Launch;
using kernels::Rows;
using kernels::View;

#define CHECK_CUDA(call)                                                                              \
  do {                                                                                                \
    const cudaError_t error_ = (call);                                                                \
    if (error_ != cudaSuccess) {                                                                      \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(error_)); \
      std::exit(2);                                                                                   \
    }                                                                                                 \
  } while (false)

template <typename T>
class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t size) : size_(size) { CHECK_CUDA(cudaMalloc(&data_, bytes())); }
  explicit DeviceBuffer(const std::vector<T>& host) : DeviceBuffer(host.size()) { upload(host); }
  DeviceBuffer(DeviceBuffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
  DeviceBuffer& operator=(DeviceBuffer&&) = delete;
  ~DeviceBuffer() { cudaFree(data_); }
  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return std::max<std::size_t>(size_ * sizeof(T), 16); }
  /// Every byte 0xff: NaN as bf16 and f32.
  void poison() const { CHECK_CUDA(cudaMemset(data_, 0xff, bytes())); }
  void upload(const std::vector<T>& host) const {
    CHECK_CUDA(cudaMemcpy(data_, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  std::vector<T> download() const {
    std::vector<T> host(size_);
    CHECK_CUDA(cudaMemcpy(host.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

inline float to_float(float x) { return x; }
inline float to_float(Bf16 x) { return __bfloat162float(x); }

__device__ inline std::uint64_t scramble(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

template <typename T>
__global__ void fill_normal_kernel(T* to, std::size_t size, std::uint64_t seed, float mean, float deviation) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < size;
       i += std::size_t{gridDim.x} * blockDim.x) {
    const std::uint64_t bits = scramble(seed + i * 0x9e3779b97f4a7c15ull);
    const float u = (static_cast<float>(bits >> 40) + 0.5f) / 16777216.0f;
    const float v = static_cast<float>(bits & 0xffffff) / 16777216.0f;
    to[i] = static_cast<T>(mean + deviation * sqrtf(-2 * logf(u)) * cospif(2 * v));
  }
}

/// New numbers with every call.
template <typename T>
void fill_normal(T* to, std::size_t size, float mean = 0, float deviation = 1) {
  static std::uint64_t seed = 0x5eed;
  fill_normal_kernel<<<1024, 256>>>(to, size, seed += 0x632be59bd9b4e019ull, mean, deviation);
  CHECK_CUDA(cudaGetLastError());
}

inline int multiprocessors() {
  int count = 0;
  CHECK_CUDA(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0));
  return count;
}

inline Launch default_launch() {
  return {
      .stream = nullptr, .multiprocessors = multiprocessors(), .programmatic = std::getenv("PROGRAMMATIC") != nullptr};
}

/// ‖out − reference‖ / ‖reference‖ over `rows` real rows; infinite if a real element is NaN, or if anything beyond the
/// real rows and columns of the poisoned output was written.
inline double relative_error(const std::vector<Bf16>& out, std::int64_t stride, const std::vector<double>& reference,
                             std::int64_t rows, std::int64_t columns) {
  double difference = 0;
  double norm = 0;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(out.size()); ++i) {
    const std::int64_t row = i / stride;
    const std::int64_t column = i % stride;
    std::uint16_t bits;
    std::memcpy(&bits, &out[static_cast<std::size_t>(i)], 2);
    if (row >= rows || column >= columns) {
      if (bits != 0xffff) return INFINITY;
      continue;
    }
    const double expected = reference[static_cast<std::size_t>(row * columns + column)];
    if (std::isnan(expected)) continue;  // not asked for
    const double delta = static_cast<double>(to_float(out[static_cast<std::size_t>(i)])) - expected;
    if (std::isnan(delta)) return INFINITY;
    difference += delta * delta;
    norm += expected * expected;
  }
  return std::sqrt(difference / norm);
}

/// Prints a line, and remembers a failure for the exit status.
inline bool& all_passed() {
  static bool passed = true;
  return passed;
}

inline void report(const std::string& name, double error, double tolerance) {
  const bool passed = error <= tolerance;
  all_passed() = all_passed() && passed;
  if (!passed || std::getenv("VERBOSE") != nullptr) {
    std::printf("%-4s %-58s %.2e\n", passed ? "ok" : "FAIL", name.c_str(), error);
  }
}

/// Median milliseconds of one call: `repeats` calls, each between events; after warming up.
template <typename Call>
double time_ms(Call&& call, int repeats = 20) {
  for (int i = 0; i < 3; ++i) call();
  cudaEvent_t start;
  cudaEvent_t stop;
  CHECK_CUDA(cudaEventCreate(&start));
  CHECK_CUDA(cudaEventCreate(&stop));
  std::vector<float> times;
  for (int i = 0; i < repeats; ++i) {
    CHECK_CUDA(cudaEventRecord(start));
    call();
    CHECK_CUDA(cudaEventRecord(stop));
    CHECK_CUDA(cudaEventSynchronize(stop));
    CHECK_CUDA(cudaEventElapsedTime(&times.emplace_back(), start, stop));
  }
  CHECK_CUDA(cudaGetLastError());
  std::sort(times.begin(), times.end());
  CHECK_CUDA(cudaEventDestroy(start));
  CHECK_CUDA(cudaEventDestroy(stop));
  return times[times.size() / 2];
}

static __global__ void measure_clock_kernel(float* mhz) {
  const auto now = [] {
    std::uint64_t nanoseconds;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanoseconds));
    return nanoseconds;
  };
  const std::uint64_t start = now();
  const long long cycles = clock64();
  while (now() - start < 100'000) {
  }
  *mhz = 1e3f * static_cast<float>(clock64() - cycles) / static_cast<float>(now() - start);
}

/// The SM clock that the previous work has led to. At the power limit it drops, and times of long runs then say little
/// about those of short ones.
inline double sm_clock_mhz() {
  const DeviceBuffer<float> mhz(1);
  measure_clock_kernel<<<1, 1>>>(mhz.data());
  CHECK_CUDA(cudaDeviceSynchronize());
  return mhz.download()[0];
}

/// For short kernels: the median of a graph of `calls` calls, by the call, so that launches cost what a graph's do.
template <typename Call>
double time_in_graph_ms(Call&& call, int calls = 20, int repeats = 11) {
  cudaStream_t stream;
  CHECK_CUDA(cudaStreamCreate(&stream));
  cudaGraph_t graph;
  cudaGraphExec_t replay;
  CHECK_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < calls; ++i) call(stream, i);
  CHECK_CUDA(cudaStreamEndCapture(stream, &graph));
  CHECK_CUDA(cudaGraphInstantiate(&replay, graph, 0));
  const double ms = time_ms([&] { CHECK_CUDA(cudaGraphLaunch(replay, nullptr)); }, repeats) / calls;
  CHECK_CUDA(cudaGraphExecDestroy(replay));
  CHECK_CUDA(cudaGraphDestroy(graph));
  CHECK_CUDA(cudaStreamDestroy(stream));
  return ms;
}

}  // namespace vitgraph::dev
