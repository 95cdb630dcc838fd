// The way out: results → memory of their own on the card → pinned chunks → the host's arrays. The first leg is a copy
// on the card at the end of the run, so that the next run may write its own results; the rest goes on while that one
// computes. How much memory is put aside for it decides only how soon the next run may start. The arrays are touched
// while their own run computes, so that their pages are there when the results come.
//
// The finishing thread's, but for `reserve`.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "backend/cuda/copy_pool.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/event.h"

namespace vitgraph::cuda {

class Outlet {
 public:
  struct Piece {
    const std::byte* from;
    std::span<std::byte> to;
    DType dtype;
  };

  explicit Outlet(cudaStream_t compute);
  ~Outlet();
  Outlet(const Outlet&) = delete;
  Outlet& operator=(const Outlet&) = delete;

  /// Ends the copying threads. Nothing may be collected afterwards.
  void end_threads() { pool_.stop(); }

  /// Puts memory aside for results of so many bytes. On JavaScript's thread. @throws Error VG_DEVICE_OUT_OF_MEMORY
  void reserve(std::size_t bytes);

  /// Copies what the compute stream will have computed by now, and returns when all of it has arrived: for each piece
  /// the index of its first element that is NaN or infinite, or -1. `saved` is called when the compute stream has been
  /// given everything that reads the results: what it is given next may overwrite them.
  /// @throws Error VG_DEVICE_FAILED; Cancelled.
  std::vector<std::int64_t> collect(std::span<const Piece> pieces, const std::function<void()>& saved,
                                    const std::atomic<bool>& cancelled);

 private:
  struct Chunk {
    PinnedMemory memory;
    Event arrived;
    /// Parts of it that are still to be copied out of it; the pool counts.
    std::size_t parts_left = 0;
  };
  /// Some bytes of a piece, put aside at `at`.
  struct Part {
    std::size_t piece;
    std::size_t offset;
    std::size_t bytes;
    std::size_t at;
  };
  /// A part on the bus.
  struct Departure {
    Chunk* chunk;
    CopyPool::Copy copy;
  };

  /// The next pieces, from `piece` and `offset` on, as far as the memory goes.
  std::vector<Part> next_parts(std::span<const Piece> pieces, std::size_t& piece, std::size_t& offset) const;
  void put_aside(std::span<const Piece> pieces, const std::vector<Part>& parts);
  void bring_out(const Piece& piece, const Part& part, std::int64_t& first_non_finite);
  /// Waits for the oldest departure, and lets the pool copy it.
  void land_oldest();

  cudaStream_t compute_;
  cudaStream_t stream_ = nullptr;
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::size_t turn_ = 0;
  std::deque<Departure> on_the_bus_;
  /// Parts of the host's arrays whose pages are still to be found; the pool counts.
  std::size_t untouched_ = 0;
  Event put_aside_;
  /// Kept until the next `collect`, so that memory that was replaced goes on this thread.
  std::shared_ptr<DeviceMemory> memory_;

  std::mutex mutex_;
  /// Shared: the memory for the next `collect`.
  std::shared_ptr<DeviceMemory> reserved_;

  /// Last, so that its threads end before what they copy from goes.
  CopyPool pool_;
};

}  // namespace vitgraph::cuda
