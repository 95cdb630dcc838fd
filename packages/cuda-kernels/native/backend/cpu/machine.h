// This machine's cores, memory and processor name, read from the system.
#pragma once

#include <cstdint>
#include <string>

namespace vitgraph::cpu {

struct MemoryState {
  std::uint64_t total_bytes;
  std::uint64_t available_bytes;
};

/// Of the container where it has a limit, otherwise of the machine.
MemoryState memory_state();

/// Physical cores that this process may use, at least 1: hyper-threads share the units that matrix products keep busy,
/// affinity masks and container quotas are respected.
int usable_cores();

/// "AMD EPYC 9654", or the architecture where the system doesn't tell.
std::string processor_name();

}  // namespace vitgraph::cpu
