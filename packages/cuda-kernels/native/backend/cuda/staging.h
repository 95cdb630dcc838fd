// Copies between pageable host memory and the card, through two pinned chunks: while one is on the bus, the processor
// fills or empties the other. One stream, one thread.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <functional>
#include <span>

#include "backend/cuda/device_memory.h"

namespace vitgraph::cuda {

class Staging {
 public:
  explicit Staging(cudaStream_t stream);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Returns when `from` has been read; the bytes are on the card when the stream gets there.
  void to_device(std::byte* to, std::span<const std::byte> from);
  /// Returns when `to` is filled. `visit` sees each part of it right after it was copied, while it is in the caches.
  void to_host(std::span<std::byte> to, const std::byte* from, const std::function<void(std::span<const std::byte>)>& visit);

 private:
  struct Chunk {
    PinnedMemory memory;
    cudaEvent_t copied;
  };

  /// Waits until the chunk is no longer on the bus.
  Chunk& next();

  cudaStream_t stream_;
  std::array<Chunk, 2> chunks_;
  std::size_t turn_ = 0;
};

}  // namespace vitgraph::cuda
