// Download path: results → staging memory on the device → pinned chunks → host arrays. The first copy is device to
// device at the end of the run, so that the next run may write its own results; the others overlap with that run. The
// staging memory's size only decides how soon the next run may start. Host arrays are touched while their own run
// computes, so that their pages are mapped when the results arrive.
//
// Used by the finishing thread only, except for `reserve`.
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
#include "backend/cuda/stream.h"

namespace vitgraph::cuda {

class DownloadBuffer {
 public:
  struct Piece {
    const std::byte* from;
    std::span<std::byte> to;
    DType dtype;
  };

  explicit DownloadBuffer(cudaStream_t compute);
  ~DownloadBuffer();
  DownloadBuffer(const DownloadBuffer&) = delete;
  DownloadBuffer& operator=(const DownloadBuffer&) = delete;

  /// Ends the copying threads. `collect` must not be called afterwards.
  void end_threads() { pool_.stop(); }

  /// Allocates staging memory for results of `bytes`. Called on JavaScript's thread. @throws Error
  /// VG_DEVICE_OUT_OF_MEMORY
  void reserve(std::size_t bytes);

  /// Copies the results of all work queued on the compute stream so far, and returns when they have arrived: for each
  /// piece the index of its first NaN or infinite element, or -1. `saved` is called once every read of the results is
  /// queued on the compute stream: later work may overwrite them.
  /// @throws Error VG_DEVICE_FAILED; Cancelled.
  std::vector<std::int64_t> collect(std::span<const Piece> pieces, const std::function<void()>& saved,
                                    const std::atomic<bool>& cancelled);

 private:
  struct Chunk {
    PinnedMemory memory;
    Event arrived;
    /// Number of parts still to be copied out of it; the pool decrements it.
    std::size_t parts_left = 0;
  };
  /// A range of a piece, staged at `at`.
  struct Part {
    std::size_t piece;
    std::size_t offset;
    std::size_t bytes;
    std::size_t at;
  };
  /// A chunk in transfer, and its copy to the host array.
  struct PendingCopy {
    Chunk* chunk;
    CopyPool::Copy copy;
  };

  /// The next pieces, from `piece` and `offset` on, as many as fit the staging memory.
  std::vector<Part> next_parts(std::span<const Piece> pieces, std::size_t& piece, std::size_t& offset) const;
  void stage(std::span<const Piece> pieces, const std::vector<Part>& parts);
  void download(const Piece& piece, const Part& part, std::int64_t& first_non_finite);
  /// Waits for the oldest transfer, and posts its copy to the pool.
  void finish_oldest();

  cudaStream_t compute_;
  Stream stream_;
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::size_t turn_ = 0;
  std::deque<PendingCopy> in_transfer_;
  /// Number of parts of the host arrays still to be touched; the pool decrements it.
  std::size_t untouched_ = 0;
  Event staged_;
  /// Kept until the next `collect`, so that replaced memory is freed on this thread.
  std::shared_ptr<DeviceMemory> memory_;

  std::mutex mutex_;
  /// Shared between threads: the memory for the next `collect`.
  std::shared_ptr<DeviceMemory> reserved_;

  /// Last, so that its threads end before the memory that they copy from is freed.
  CopyPool pool_;
};

}  // namespace vitgraph::cuda
