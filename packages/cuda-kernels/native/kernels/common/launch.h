// What every launcher of native/kernels takes and promises. Host code; knows no JavaScript, no program, no backend.
//
// A launcher `launch_<kernel>` puts one kernel on a stream and returns what the CUDA runtime said. It allocates nothing,
// synchronises nothing and reads nothing back, so it may be captured into a graph. The number of real rows is read on
// the device when the kernel runs: grids are sized for the capacity, and blocks beyond the real rows leave at once. Rows
// beyond are never written, and what stands in them (NaN included) never reaches a real row.
//
// A launcher returns cudaErrorInvalidValue, and launches nothing, where its header's assumptions do not hold.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace vitgraph::kernels {

using Bf16 = __nv_bfloat16;

/// How many rows are real: `*count + plus`, known on the device alone; `plus` alone where `count` is null.
struct Rows {
  /// Device memory, written before the kernel runs.
  const std::int32_t* count;
  std::int32_t plus;
  /// The most that the real number can be. Grids and tensor maps are made for it.
  std::int32_t capacity;
};

/// A matrix in device memory: `row_stride` elements from one row to the next.
template <typename T>
struct View {
  T* data;
  std::int64_t row_stride;
};

struct Launch {
  cudaStream_t stream;
  /// Multiprocessors of the device, for grids that fill it once.
  int multiprocessors;
  /// Programmatic dependent launch: the kernel may be set up while the one before it on the stream ends. It waits for
  /// that one's results before it touches memory, so this changes time, never values.
  bool programmatic;
};

/// Launches `kernel` with the attributes that `launch` asks for.
template <typename... Parameters, typename... Arguments>
cudaError_t launch_kernel(const Launch& launch, void (*kernel)(Parameters...), dim3 grid, unsigned threads,
                          std::size_t shared_bytes, const Arguments&... arguments) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = launch.stream;
  config.attrs = &attribute;
  config.numAttrs = launch.programmatic ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

inline bool is_aligned(const void* pointer, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

/// Whether every row of the view starts at a multiple of `bytes`. A null view (an operand left out) counts as aligned.
template <typename T>
bool rows_aligned(const View<T>& view, std::size_t bytes) {
  return is_aligned(view.data, bytes) && static_cast<std::size_t>(view.row_stride) * sizeof(T) % bytes == 0;
}

template <typename T>
__host__ __device__ constexpr T divide_up(T value, T by) {
  return (value + by - 1) / by;
}

}  // namespace vitgraph::kernels
