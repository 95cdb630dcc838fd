// TMA copies: boxes of a tensor map to shared memory. Issued by one thread; the bytes count towards the mbarrier, which
// must expect them.
#pragma once

#include <cuda.h>

#include "kernels/sm90/common/barrier.cuh"

namespace vitgraph::kernels::sm90 {

__device__ __forceinline__ void prefetch_tensor_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

__device__ __forceinline__ void copy_box(std::uint32_t to, const CUtensorMap* map, Barrier* barrier, int x, int y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
          to),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y)
      : "memory");
}

/// Multicast to the same offset in each block of the cluster whose bit is set in `blocks`; the bytes count in each.
__device__ __forceinline__ void copy_box_to_blocks(std::uint32_t to, const CUtensorMap* map, Barrier* barrier, int x,
                                                   int y, std::uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster"
      " [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(to),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "h"(blocks)
      : "memory");
}

__device__ __forceinline__ void copy_box(std::uint32_t to, const CUtensorMap* map, Barrier* barrier, int x, int y,
                                         int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::
          "r"(to),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z)
      : "memory");
}

/// Copies from shared memory. Elements outside the map are not written. Belongs to the calling thread's open bulk
/// group.
__device__ __forceinline__ void copy_box_back(const CUtensorMap* map, std::uint32_t from, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(map), "r"(from),
               "r"(x), "r"(y), "r"(z)
               : "memory");
}

__device__ __forceinline__ void commit_copies_back() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }

/// Waits until the copies that this thread committed have read their shared memory.
__device__ __forceinline__ void await_copies_back_read() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

}  // namespace vitgraph::kernels::sm90
