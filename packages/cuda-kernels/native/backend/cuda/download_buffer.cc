#include "backend/cuda/download_buffer.h"

#include <algorithm>
#include <thread>

#include "common/error.h"
#include "common/large_pages.h"

namespace vitgraph::cuda {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{4} << 20;
/// 48 MiB of pinned memory.
constexpr std::size_t kChunks = 12;
/// Enough to keep PCIe busy; the other chunks are being emptied.
constexpr std::size_t kMostInTransfer = 4;
/// With the finishing thread four threads copy: more gain little, and take cores from the server.
constexpr int kCopyThreads = 3;
constexpr std::size_t kAlignment = 256;

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

int copy_threads() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) - 1, 1, kCopyThreads); }

/// Small enough to split a result of a megabyte.
constexpr std::size_t kSmallPart = std::size_t{256} << 10;

/// Whether most of a piece is in large pages.
bool is_large(std::span<std::byte> bytes) { return bytes.size() >= 2 * kLargePage; }

std::size_t part_bytes(std::span<std::byte> bytes) { return is_large(bytes) ? kLargePage : kSmallPart; }

/// Distance from the start of the large page, in steps of 16 bytes, so that no element is split.
std::size_t behind_page(const std::byte* address) {
  return reinterpret_cast<std::uintptr_t>(address) / 16 * 16 % kLargePage;
}

}  // namespace

DownloadBuffer::DownloadBuffer(cudaStream_t compute)
    : compute_(compute), stream_(make_stream()), pool_(copy_threads()) {
  for (std::size_t i = 0; i < kChunks; ++i)
    chunks_.push_back(std::unique_ptr<Chunk>(new Chunk{PinnedMemory(kChunkBytes), Event()}));
}

DownloadBuffer::~DownloadBuffer() { cudaStreamSynchronize(stream_.get()); }

void DownloadBuffer::reserve(std::size_t bytes) {
  bytes = std::max(aligned(bytes), kChunkBytes);
  {
    const std::lock_guard lock(mutex_);
    if (reserved_ && reserved_->size_bytes() >= bytes) return;
  }
  auto memory = std::make_shared<DeviceMemory>(bytes);
  const std::lock_guard lock(mutex_);
  reserved_ = std::move(memory);
}

std::vector<std::int64_t> DownloadBuffer::collect(std::span<const Piece> pieces, const std::function<void()>& saved,
                                                  const std::atomic<bool>& cancelled) {
  {
    const std::lock_guard lock(mutex_);
    memory_ = reserved_;
  }
  std::vector<std::int64_t> first_non_finite(pieces.size(), -1);
  try {
    for (const Piece& piece : pieces) {
      if (is_large(piece.to)) prefer_large_pages(piece.to);
      pool_.touch(piece.to, part_bytes(piece.to), untouched_);
    }
    std::size_t piece = 0;
    std::size_t offset = 0;
    // One iteration, unless the results exceed the staging memory.
    do {
      const std::vector<Part> parts = next_parts(pieces, piece, offset);
      stage(pieces, parts);
      if (piece == pieces.size()) saved();
      for (const Part& part : parts) {
        if (cancelled.load(std::memory_order_relaxed)) throw Cancelled();
        download(pieces[part.piece], part, first_non_finite[part.piece]);
      }
      while (!in_transfer_.empty()) finish_oldest();
    } while (piece < pieces.size());
  } catch (...) {
    // The arrays belong to the caller again after this.
    cudaStreamSynchronize(stream_.get());
    cudaGetLastError();
    in_transfer_.clear();
    pool_.wait_for_all();
    throw;
  }
  pool_.wait_for_all();
  return first_non_finite;
}

std::vector<DownloadBuffer::Part> DownloadBuffer::next_parts(std::span<const Piece> pieces, std::size_t& piece,
                                                             std::size_t& offset) const {
  std::vector<Part> parts;
  std::size_t used = 0;
  while (piece < pieces.size() && used < memory_->size_bytes()) {
    const std::size_t bytes = std::min(pieces[piece].to.size() - offset, memory_->size_bytes() - used);
    if (bytes > 0) parts.push_back({piece, offset, bytes, used});
    offset += bytes;
    // Pieces that are contiguous in the results are contiguous here too, and staged with one copy.
    const bool continued = piece + 1 < pieces.size() && pieces[piece].from + offset == pieces[piece + 1].from;
    used += continued && bytes % size_of(DType::f32) == 0 ? bytes : aligned(bytes);
    if (offset < pieces[piece].to.size()) break;
    ++piece;
    offset = 0;
  }
  return parts;
}

void DownloadBuffer::stage(std::span<const Piece> pieces, const std::vector<Part>& parts) {
  for (std::size_t i = 0; i < parts.size();) {
    const std::byte* from = pieces[parts[i].piece].from + parts[i].offset;
    const std::size_t at = parts[i].at;
    std::size_t bytes = 0;
    do {
      bytes += parts[i++].bytes;
    } while (i < parts.size() && parts[i].at == at + bytes &&
             pieces[parts[i].piece].from + parts[i].offset == from + bytes);
    check(cudaMemcpyAsync(memory_->data() + at, from, bytes, cudaMemcpyDeviceToDevice, compute_),
          "cannot stage the results");
  }
  staged_.record(compute_);
  staged_.hold(stream_.get());
}

void DownloadBuffer::download(const Piece& piece, const Part& part, std::int64_t& first_non_finite) {
  for (std::size_t done = 0; done < part.bytes;) {
    Chunk& chunk = *chunks_[turn_++ % chunks_.size()];
    while (in_transfer_.size() >= kMostInTransfer) finish_oldest();
    pool_.wait_for(chunk.parts_left);
    const std::size_t offset = part.offset + done;
    // In a large piece every chunk but the first starts at a page, and its parts are whole pages: two threads that
    // touch a new page at once would both have it cleared.
    const bool large = is_large(piece.to);
    const std::size_t room = kChunkBytes - (large ? behind_page(piece.to.data() + offset) : 0);
    const std::size_t bytes = std::min(part.bytes - done, room);
    check(cudaMemcpyAsync(chunk.memory.data(), memory_->data() + part.at + done, bytes, cudaMemcpyDeviceToHost,
                          stream_.get()),
          "cannot copy from the device");
    chunk.arrived.record(stream_.get());
    in_transfer_.push_back({&chunk,
                            {.to = piece.to.subspan(offset, bytes),
                             .from = chunk.memory.data(),
                             .part_bytes = part_bytes(piece.to),
                             .dtype = piece.dtype,
                             .first_element = static_cast<std::int64_t>(offset / size_of(piece.dtype)),
                             .first_non_finite = &first_non_finite,
                             .parts_left = &chunk.parts_left}});
    done += bytes;
  }
}

void DownloadBuffer::finish_oldest() {
  const PendingCopy oldest = in_transfer_.front();
  oldest.chunk->arrived.wait();
  in_transfer_.pop_front();
  // A late touch must not overwrite copied results.
  pool_.wait_for(untouched_);
  pool_.post(oldest.copy);
}

}  // namespace vitgraph::cuda
