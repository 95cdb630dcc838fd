// The contract of all launchers in native/kernels. Host code, independent of JavaScript, programs and backends.
//
// A launcher `launch_<kernel>` queues one kernel on a stream and returns the CUDA runtime's status. It does not
// allocate, synchronise or read back, so it may be captured into a graph. The kernel reads the number of real rows on
// the device: grids are sized for the capacity, and blocks beyond the real rows exit at once. Padding rows are never
// written, and their contents (NaN included) never reach a real row.
//
// A launcher returns cudaErrorInvalidValue, and launches nothing, if its header's assumptions do not hold.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace vitgraph::kernels {

using Bf16 = __nv_bfloat16;

/// The number of real rows: `*count + plus`, known only on the device; `plus` if `count` is null.
struct Rows {
  /// Device memory, written before the kernel runs.
  const std::int32_t* count;
  std::int32_t plus;
  /// Upper bound of the real number. Grids and tensor maps are sized for it.
  std::int32_t capacity;
};

/// A matrix in device memory with rows `row_stride` elements apart.
template <typename T>
struct View {
  T* data;
  std::int64_t row_stride;
};

struct Launch {
  cudaStream_t stream;
  /// SMs of the device, for grids of one wave.
  int multiprocessors;
  /// Programmatic dependent launch: the kernel's launch may overlap the end of the previous one on the stream. It waits
  /// for that one's results before it accesses memory, so this affects time, never values.
  bool programmatic;
};

/// Launches `kernel` with the attributes of `launch`.
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

/// Whether every row of the view is aligned to `bytes`. A null view (absent operand) counts as aligned.
template <typename T>
bool rows_aligned(const View<T>& view, std::size_t bytes) {
  return is_aligned(view.data, bytes) && static_cast<std::size_t>(view.row_stride) * sizeof(T) % bytes == 0;
}

template <typename T>
__host__ __device__ constexpr T divide_up(T value, T by) {
  return (value + by - 1) / by;
}

}  // namespace vitgraph::kernels
