#include "backend/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/status.h"

namespace vitgraph::cuda {
namespace {

/// Large enough for the bus to run at its rate, small enough to overlap filling and copying from the start.
constexpr std::size_t kChunkBytes = std::size_t{4} << 20;

cudaEvent_t make_event() {
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cannot create an event");
  return event;
}

}  // namespace

Staging::Staging(cudaStream_t stream)
    : stream_(stream), chunks_{{{PinnedMemory(kChunkBytes), make_event()}, {PinnedMemory(kChunkBytes), make_event()}}} {}

Staging::~Staging() {
  for (Chunk& chunk : chunks_) cudaEventDestroy(chunk.copied);
}

Staging::Chunk& Staging::next() {
  Chunk& chunk = chunks_[turn_++ % chunks_.size()];
  check(cudaEventSynchronize(chunk.copied), "cannot wait for a copy");
  return chunk;
}

void Staging::to_device(std::byte* to, std::span<const std::byte> from) {
  while (!from.empty()) {
    Chunk& chunk = next();
    const std::size_t bytes = std::min(from.size(), kChunkBytes);
    std::memcpy(chunk.memory.data(), from.data(), bytes);
    check(cudaMemcpyAsync(to, chunk.memory.data(), bytes, cudaMemcpyHostToDevice, stream_), "cannot copy to the device");
    check(cudaEventRecord(chunk.copied, stream_), "cannot record an event");
    to += bytes;
    from = from.subspan(bytes);
  }
}

void Staging::to_host(std::span<std::byte> to, const std::byte* from, const std::function<void(std::span<const std::byte>)>& visit) {
  struct Part {
    Chunk* chunk;
    std::span<std::byte> to;
  };
  Part pending{nullptr, {}};
  const auto empty = [&](const Part& part) {
    if (part.chunk == nullptr) return;
    check(cudaEventSynchronize(part.chunk->copied), "cannot wait for a copy");
    std::memcpy(part.to.data(), part.chunk->memory.data(), part.to.size());
    visit(part.to);
  };
  while (!to.empty()) {
    Chunk& chunk = next();
    const std::size_t bytes = std::min(to.size(), kChunkBytes);
    check(cudaMemcpyAsync(chunk.memory.data(), from, bytes, cudaMemcpyDeviceToHost, stream_), "cannot copy from the device");
    check(cudaEventRecord(chunk.copied, stream_), "cannot record an event");
    // The chunk before this one is emptied while this one is on the bus.
    empty(pending);
    pending = {&chunk, to.first(bytes)};
    from += bytes;
    to = to.subspan(bytes);
  }
  empty(pending);
}

}  // namespace vitgraph::cuda
