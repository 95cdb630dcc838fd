// Patches as the host staged them → normalised rows.
#include "kernels/smxx/unpack_patches/unpack_patches.h"

#include "backend/cuda/step.h"

namespace vitgraph::cuda {

using kernels::Bf16;

StepLaunch unpack_patches_step(const StepContext& at) {
  using namespace operands::unpack_patches;
  const kernels::smxx::UnpackPatchesOperands operands{at.data<const std::uint8_t>(PIXELS),
                                                      at.data<const std::uint32_t>(PATCH_SOURCES),
                                                      at.data<const float>(CHANNEL_SCALE),
                                                      at.view<Bf16>(Y),
                                                      at.rows(Y),
                                                      at.count(0),
                                                      at.count(1),
                                                      at.count(2)};
  if (!kernels::is_aligned(operands.pixels, 4)) at.unsupported("its pixels do not start at a multiple of 4 bytes");
  return [operands](const kernels::Launch& launch) { return kernels::smxx::launch_unpack_patches(launch, operands); };
}

}  // namespace vitgraph::cuda
