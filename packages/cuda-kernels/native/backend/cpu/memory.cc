#include "backend/cpu/memory.h"

#include <new>

#include "backend/cpu/machine.h"
#include "common/error.h"

// Not under AddressSanitizer, which watches the ends of what `new` returns, and not those of a mapping.
#if (defined(__unix__) || defined(__APPLE__)) && !defined(__SANITIZE_ADDRESS__)
#include <sys/mman.h>
#define VITGRAPH_HAVE_MMAP 1
#endif

namespace vitgraph::cpu {
namespace {

[[noreturn]] void out_of_memory(std::size_t size_bytes, const MemoryState& state) {
  throw Error("VG_DEVICE_OUT_OF_MEMORY",
              "the CPU device was asked for " + std::to_string(size_bytes) + " bytes, and " +
                  std::to_string(state.available_bytes) + " of " + std::to_string(state.total_bytes) + " are free",
              "use smaller token budgets, or a machine or container with more memory");
}

}  // namespace

HostMemory::HostMemory(std::size_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes == 0) return;
  // The system hands out addresses far beyond its memory and ends the process later. What can never be backed is
  // refused here; what is merely not free now is not, since much of an arena may never be touched.
  const MemoryState state = memory_state();
  if (size_bytes > state.total_bytes) out_of_memory(size_bytes, state);
#ifdef VITGRAPH_HAVE_MMAP
  void* mapped = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) out_of_memory(size_bytes, state);
  data_ = static_cast<std::byte*>(mapped);
#else
  data_ = static_cast<std::byte*>(::operator new (size_bytes, std::align_val_t{256}, std::nothrow));
  if (data_ == nullptr) out_of_memory(size_bytes, state);
#endif
}

HostMemory::~HostMemory() {
  if (data_ == nullptr) return;
#ifdef VITGRAPH_HAVE_MMAP
  munmap(data_, size_bytes_);
#else
  ::operator delete (data_, std::align_val_t{256});
#endif
}

}  // namespace vitgraph::cpu
