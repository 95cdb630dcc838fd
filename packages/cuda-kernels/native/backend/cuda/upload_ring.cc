#include "backend/cuda/upload_ring.h"

#include <algorithm>
#include <cstring>

namespace vitgraph::cuda {
namespace {

/// Large enough for full PCIe bandwidth, small enough to overlap filling and copying from the start.
constexpr std::size_t kChunkBytes = std::size_t{4} << 20;
/// 128 MiB; stills of 65 536 patches of 3 · 16 · 16 bytes take 48. A larger batch uploads the rest after the previous
/// run has ended.
constexpr std::size_t kMostSlots = 32;
/// Alignment of pieces in the ring, so that device-to-device copies do not start at odd bytes.
constexpr std::size_t kPieceAlignment = 256;

}  // namespace

UploadRing::Storage::Storage(std::size_t slot_count) : memory(slot_count * kChunkBytes), slots(slot_count) {
  for (std::size_t i = 0; i < slot_count; ++i) slots[i].data = memory.data() + i * kChunkBytes;
}

UploadRing::Storage::~Storage() {
  for (const Slot& slot : slots) cudaEventSynchronize(slot.placed.get());
}

UploadRing::UploadRing(cudaStream_t compute)
    : compute_(compute),
      stream_(make_stream()),
      chunks_{{{PinnedMemory(kChunkBytes), Event()},
               {PinnedMemory(kChunkBytes), Event()},
               {PinnedMemory(kChunkBytes), Event()},
               {PinnedMemory(kChunkBytes), Event()}}} {}

UploadRing::~UploadRing() { cudaStreamSynchronize(stream_.get()); }

void UploadRing::reserve(std::size_t bytes) {
  const std::size_t slots = std::clamp<std::size_t>((bytes + kChunkBytes - 1) / kChunkBytes, 2, kMostSlots);
  {
    const std::lock_guard lock(mutex_);
    if (reserved_ && reserved_->slots.size() >= slots) return;
  }
  auto storage = std::make_shared<Storage>(slots);
  const std::lock_guard lock(mutex_);
  reserved_ = std::move(storage);
}

void UploadRing::send(std::span<const Piece> pieces, const std::function<void()>& before_placing) {
  {
    const std::lock_guard lock(mutex_);
    storage_ = reserved_;
  }
  std::vector<Slot>& slots = storage_->slots;
  // Slots in transfer and not placed yet: the last `waiting` before the ring's position.
  std::size_t waiting = 0;
  const auto place_all = [&] {
    before_placing();
    for (; waiting > 0; --waiting) place(slots[(storage_->turn - waiting) % slots.size()]);
  };
  Chunk* chunk = nullptr;
  Slot* slot = nullptr;
  std::size_t used = 0;
  const auto flush = [&] {
    if (chunk == nullptr) return;
    start_upload(*chunk, *slot, used);
    chunk = nullptr;
    ++waiting;
  };
  for (const Piece& piece : pieces) {
    std::span<const std::byte> rest = piece.from;
    std::byte* to = piece.to;
    while (!rest.empty()) {
      if (chunk != nullptr && used == kChunkBytes) flush();
      if (chunk == nullptr) {
        if (waiting == slots.size()) place_all();
        chunk = &next_chunk();
        slot = &slots[storage_->turn++ % slots.size()];
        slot->placements.clear();
        used = 0;
      }
      const std::size_t bytes = std::min(rest.size(), kChunkBytes - used);
      std::memcpy(chunk->memory.data() + used, rest.data(), bytes);
      Placement* last = slot->placements.empty() ? nullptr : &slot->placements.back();
      // Merge pieces that are contiguous at both ends into one copy.
      if (last != nullptr && last->to + last->bytes == to && last->from + last->bytes == used)
        last->bytes += bytes;
      else
        slot->placements.push_back({to, used, bytes});
      used += bytes;
      to += bytes;
      rest = rest.subspan(bytes);
    }
    const bool continued = &piece != &pieces.back() && (&piece)[1].to == to;
    if (!continued) used = std::min((used + kPieceAlignment - 1) / kPieceAlignment * kPieceAlignment, kChunkBytes);
  }
  flush();
  place_all();
}

void UploadRing::send_in_order(Piece piece) {
  while (!piece.from.empty()) {
    Chunk& chunk = next_chunk();
    const std::size_t bytes = std::min(piece.from.size(), kChunkBytes);
    std::memcpy(chunk.memory.data(), piece.from.data(), bytes);
    check(cudaMemcpyAsync(piece.to, chunk.memory.data(), bytes, cudaMemcpyHostToDevice, compute_),
          "cannot copy to the device");
    chunk.read.record(compute_);
    piece.to += bytes;
    piece.from = piece.from.subspan(bytes);
  }
}

UploadRing::Chunk& UploadRing::next_chunk() {
  Chunk& chunk = chunks_[turn_++ % chunks_.size()];
  chunk.read.wait();
  return chunk;
}

void UploadRing::start_upload(Chunk& chunk, Slot& slot, std::size_t bytes) {
  slot.placed.hold(stream_.get());
  check(cudaMemcpyAsync(slot.data, chunk.memory.data(), bytes, cudaMemcpyHostToDevice, stream_.get()),
        "cannot copy to the device");
  chunk.read.record(stream_.get());
  slot.arrived.record(stream_.get());
}

void UploadRing::place(Slot& slot) {
  slot.arrived.hold(compute_);
  for (const Placement& placement : slot.placements) {
    check(
        cudaMemcpyAsync(placement.to, slot.data + placement.from, placement.bytes, cudaMemcpyDeviceToDevice, compute_),
        "cannot put the run's inputs in place");
  }
  slot.placed.record(compute_);
}

}  // namespace vitgraph::cuda
