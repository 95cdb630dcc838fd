// Encodes tensor maps with the driver's function, looked up through the runtime.
#include "kernels/sm90/common/tensor_map.h"

#include <cudaTypedefs.h>

namespace vitgraph::kernels::sm90 {
namespace {

PFN_cuTensorMapEncodeTiled_v12000 find_encoder() {
  void* encoder = nullptr;
  cudaDriverEntryPointQueryResult found{};
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &encoder, 12000, cudaEnableDefault, &found);
  if (error != cudaSuccess || found != cudaDriverEntryPointSuccess) return nullptr;
  return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(encoder);
}

}  // namespace

cudaError_t encode_tensor_map(CUtensorMap& map, const void* data, int dimensions, const std::uint64_t* sizes,
                              const std::uint64_t* strides, const std::uint32_t* box, int row_bytes) {
  static const PFN_cuTensorMapEncodeTiled_v12000 encode = find_encoder();
  if (encode == nullptr) return cudaErrorNotSupported;
  std::array<cuuint64_t, 4> sizes_of{};
  std::array<cuuint64_t, 4> stride_bytes{};
  std::array<cuuint32_t, 4> boxes{};
  std::array<cuuint32_t, 4> every{1, 1, 1, 1};
  for (int i = 0; i < dimensions; ++i) {
    const auto at = static_cast<std::size_t>(i);
    sizes_of[at] = sizes[i];
    boxes[at] = box[i];
    if (i + 1 < dimensions) stride_bytes[at] = strides[i] * 2;
  }
  const CUtensorMapSwizzle swizzle = row_bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                                     : row_bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                                       : CU_TENSOR_MAP_SWIZZLE_32B;
  const CUresult result =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, static_cast<cuuint32_t>(dimensions), const_cast<void*>(data),
             sizes_of.data(), stride_bytes.data(), boxes.data(), every.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
             CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace vitgraph::kernels::sm90
