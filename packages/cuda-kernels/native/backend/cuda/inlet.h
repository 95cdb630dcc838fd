// The way in: host bytes → a pinned chunk → a ring on the card → their place. The first two legs are taken while an
// earlier run computes, on a stream of their own; the last one is a copy on the card in the compute stream's order,
// since the run before it reads the same place. How large the ring is decides only how much may arrive early.
//
// The beginning thread's, but for `reserve`.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "backend/cuda/device_memory.h"
#include "backend/cuda/event.h"

namespace vitgraph::cuda {

class Inlet {
 public:
  struct Piece {
    std::byte* to;
    std::span<const std::byte> from;
  };

  explicit Inlet(cudaStream_t compute);
  ~Inlet();
  Inlet(const Inlet&) = delete;
  Inlet& operator=(const Inlet&) = delete;

  /// Makes the ring large enough for runs that bring so many bytes, up to a limit. On JavaScript's thread.
  /// @throws Error VG_DEVICE_OUT_OF_MEMORY
  void reserve(std::size_t bytes);

  /// Returns when everything has been read; what the compute stream is given next finds it in place. `before_placing`
  /// is called, perhaps more than once, before anything of it is written to its place.
  void send(std::span<const Piece> pieces, const std::function<void()>& before_placing);

  /// The same without the ring: nothing arrives early, and no `reserve` is needed.
  void send_in_order(Piece piece);

 private:
  struct Chunk {
    PinnedMemory memory;
    Event read;
  };
  /// A copy on the card from a slot to its place.
  struct Placement {
    std::byte* to;
    std::size_t from;
    std::size_t bytes;
  };
  struct Slot {
    std::byte* data = nullptr;
    Event arrived;
    Event placed;
    std::vector<Placement> placements;
  };
  struct Ring {
    explicit Ring(std::size_t slot_count);
    ~Ring();
    DeviceMemory memory;
    std::vector<Slot> slots;
    std::size_t turn = 0;
  };

  /// A chunk that is no longer on the bus.
  Chunk& next_chunk();
  /// Puts `bytes` of the chunk on their way to the slot.
  void depart(Chunk& chunk, Slot& slot, std::size_t bytes);
  void place(Slot& slot);

  cudaStream_t compute_;
  cudaStream_t stream_ = nullptr;
  std::array<Chunk, 4> chunks_;
  std::size_t turn_ = 0;
  /// Kept until the next `send`, so that a ring that was replaced goes on this thread.
  std::shared_ptr<Ring> ring_;

  std::mutex mutex_;
  /// Shared: the ring for the next `send`.
  std::shared_ptr<Ring> reserved_;
};

}  // namespace vitgraph::cuda
