// Launches unpack_patches with the widest accesses that patch area and alignment allow.
#include "kernels/smxx/unpack_patches/unpack_patches.h"

#include "kernels/common/rows.h"
#include "kernels/smxx/unpack_patches/unpack_patches_kernel.cuh"

namespace vitgraph::kernels::smxx {

cudaError_t launch_unpack_patches(const Launch& launch, const UnpackPatchesOperands& operands) {
  if (operands.channels <= 0 || operands.temporal <= 0 || operands.patch_area <= 0 || operands.rows.capacity <= 0 ||
      !is_aligned(operands.pixels, 4)) {
    return cudaErrorInvalidValue;
  }
  const auto fits = [&](std::size_t size) {
    return operands.patch_area % size == 0 && rows_aligned(operands.y, size * sizeof(Bf16));
  };
  const std::int64_t slice = static_cast<std::int64_t>(operands.channels) * operands.patch_area;
  const auto launch_with = [&](auto kernel, std::int64_t size) {
    return launch_kernel(launch, kernel, walking_grid(launch, operands.rows.capacity * slice / size, 256), 256, 0,
                         operands);
  };
  if (fits(8)) return launch_with(unpack_patches_kernel<8>, 8);
  if (fits(4)) return launch_with(unpack_patches_kernel<4>, 4);
  return launch_with(unpack_patches_kernel<1>, 1);
}

}  // namespace vitgraph::kernels::smxx
