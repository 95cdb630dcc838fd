// Upload path: host bytes → pinned chunk → upload ring on the device → io arena. The first two copies overlap with the
// previous run, on a separate stream. The last is a device-to-device copy on the compute stream, since the previous run
// reads the same destination. The ring's size only limits how much is uploaded early.
//
// Used by the beginning thread only, except for `reserve`.
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
#include "backend/cuda/stream.h"

namespace vitgraph::cuda {

class UploadRing {
 public:
  struct Piece {
    std::byte* to;
    std::span<const std::byte> from;
  };

  explicit UploadRing(cudaStream_t compute);
  ~UploadRing();
  UploadRing(const UploadRing&) = delete;
  UploadRing& operator=(const UploadRing&) = delete;

  /// Grows the ring for runs that upload `bytes`, up to a limit. Called on JavaScript's thread.
  /// @throws Error VG_DEVICE_OUT_OF_MEMORY
  void reserve(std::size_t bytes);

  /// Returns when all pieces have been read; later work on the compute stream sees them in place. `before_placing` is
  /// called, possibly more than once, before the first write to a destination.
  void send(std::span<const Piece> pieces, const std::function<void()>& before_placing);

  /// The same without the ring: no early upload, and no `reserve` needed.
  void send_in_order(Piece piece);

 private:
  struct Chunk {
    PinnedMemory memory;
    Event read;
  };
  /// A device-to-device copy from a slot to its destination.
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
  struct Storage {
    explicit Storage(std::size_t slot_count);
    ~Storage();
    DeviceMemory memory;
    std::vector<Slot> slots;
    std::size_t turn = 0;
  };

  /// A chunk whose transfer has finished.
  Chunk& next_chunk();
  /// Starts the transfer of `bytes` of the chunk to the slot.
  void start_upload(Chunk& chunk, Slot& slot, std::size_t bytes);
  void place(Slot& slot);

  cudaStream_t compute_;
  Stream stream_;
  std::array<Chunk, 4> chunks_;
  std::size_t turn_ = 0;
  /// Kept until the next `send`, so that a replaced ring is freed on this thread.
  std::shared_ptr<Storage> storage_;

  std::mutex mutex_;
  /// Shared between threads: the ring for the next `send`.
  std::shared_ptr<Storage> reserved_;
};

}  // namespace vitgraph::cuda
