// The backend interface: memory, and programs that run over it. src/device.ts is the same contract as JavaScript sees
// it.
//
// Threads: a backend is constructed, loads programs and allocates on JavaScript's thread. Everything that may take time
// is called on the device's own two threads: the beginning thread uploads, fills, captures and begins runs, the
// finishing thread finishes runs; each makes one call at a time, in the order of submission. The last reference to the
// backend destroys it, on any thread. Memory and LoadedProgram are held by shared pointers, so that an object may be
// released on JavaScript's thread while work over it is in flight.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "program/program.h"

namespace vitgraph {

/// One range of device memory. Freed with the last reference.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual std::size_t size_bytes() const = 0;
};

/// Device memory that other processes map. Freed with the last reference, even while it is mapped.
class ExportedMemory {
 public:
  virtual ~ExportedMemory() = default;
  virtual std::size_t size_bytes() const = 0;
  /// The 64 bytes by which another process maps it.
  virtual std::span<const std::byte> handle() const = 0;
  /// The source of `write`. Filled on JavaScript's thread, while no write is in flight.
  virtual std::span<std::byte> staging() const = 0;
  /// Copies the first bytes of the staging buffer to `offset`, and returns when every process sees them. On any thread.
  /// @throws Error VG_DEVICE_FAILED
  virtual void write(std::size_t offset, std::size_t bytes) = 0;
};

/// Host bytes that are copied to or from a buffer, from `offset_bytes` on. Nothing else accesses them until the run has
/// ended.
struct Transfer {
  const Buffer* buffer;
  std::span<std::byte> bytes;
  /// A multiple of the element's size.
  std::size_t offset_bytes = 0;
};

struct Submission {
  std::vector<std::uint32_t> counts;
  std::vector<Transfer> inputs;
  std::vector<Transfer> outputs;
};

struct RunResult {
  double duration_ms;
  /// For each output the index of its first element that is NaN or infinite, or -1.
  std::vector<std::int64_t> first_non_finite;
};

/// A run in flight. Destroyed without `finish` if its environment is gone.
class Run {
 public:
  virtual ~Run() = default;
  /// Returns when the outputs are in place. Once, on the finishing thread.
  /// @throws Error VG_DEVICE_FAILED; Cancelled.
  virtual RunResult finish() = 0;
};

/// The durations of a capture's parts.
struct CaptureTimes {
  /// Autotuning of the matrix products; close to 0 if all of them were cached.
  double measure_ms;
  double capture_ms;
};

/// A program with its addresses resolved. Keeps its arenas alive.
class LoadedProgram {
 public:
  virtual ~LoadedProgram() = default;
  virtual const Program& program() const = 0;
  /// Does the part of a run that needs no waiting for the device, or all of it. The submission, the program and
  /// `cancelled` outlive the Run; `cancelled` may become true at any time, and ends the run early.
  /// @throws Error VG_DEVICE_FAILED, VG_ARGUMENT_INVALID; Cancelled.
  virtual std::unique_ptr<Run> begin(const Submission& submission, const std::atomic<bool>& cancelled) = 0;
  /// Optional. Captures the program as a graph: each later run is one launch. Nothing if the backend has no graphs.
  virtual std::optional<CaptureTimes> capture() { return std::nullopt; }
};

struct MemoryUse {
  std::uint64_t free_bytes;
  std::uint64_t total_bytes;
};

using Fact = std::pair<std::string, std::variant<std::string, double, bool>>;

struct BackendInfo {
  std::string backend;
  /// For people.
  std::string name;
  /// The same as data.
  std::vector<Fact> facts;
};

using Arenas = std::array<std::shared_ptr<Memory>, kArenaCount>;

/// Decodes and validates a program, and checks that it fits its arenas.
/// @throws Error VG_PROGRAM_INVALID
Program decode_for(std::span<const std::uint32_t> words, DType activation, const Arenas& arenas);

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const BackendInfo& info() const = 0;
  virtual DType activation_dtype() const = 0;
  virtual std::span<const Kernel> kernels() const = 0;
  /// Aligned to 256 bytes. @throws Error VG_DEVICE_OUT_OF_MEMORY
  virtual std::shared_ptr<Memory> allocate(std::size_t size_bytes) = 0;
  /// Optional: memory of at least `size_bytes`; null if the backend can't share memory with other processes.
  /// @throws Error VG_DEVICE_OUT_OF_MEMORY, VG_DEVICE_FAILED
  virtual std::shared_ptr<ExportedMemory> export_memory(std::size_t) { return nullptr; }
  /// Of the whole device, whoever uses it. On JavaScript's thread.
  virtual MemoryUse memory() = 0;
  virtual void upload(Memory& memory, std::size_t offset, std::span<const std::byte> bytes) = 0;
  virtual void fill(Memory& memory, std::uint8_t byte) = 0;
  /// @throws Error VG_PROGRAM_INVALID, VG_DEVICE_OUT_OF_MEMORY
  virtual std::shared_ptr<LoadedProgram> load(std::span<const std::uint32_t> words, const Arenas& arenas) = 0;
  /// Ends the backend's helper threads, which loaded programs would otherwise keep. No run follows. Called once, on the
  /// finishing thread.
  virtual void end_threads() = 0;
};

}  // namespace vitgraph
