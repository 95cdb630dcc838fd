// What a backend is to the addon: memory, and programs to run over it. src/device.ts is the same contract as JavaScript
// sees it.
//
// Threads: a backend is made, loads programs and allocates on JavaScript's thread. Everything that may take time
// (upload, fill, run) is called on the device's own worker thread, one call at a time. Memory and LoadedProgram are
// held by shared pointers, so that an object may be let go on JavaScript's thread while the worker still runs over it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
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

/// Host bytes that go to, or come from, the start of a buffer. The caller keeps them alive until the run is over.
struct Transfer {
  const Buffer* buffer;
  std::span<std::byte> bytes;
};

struct Submission {
  std::vector<std::uint32_t> counts;
  std::vector<Transfer> inputs;
  std::vector<Transfer> outputs;
};

struct RunResult {
  double duration_ms;
  /// Whether every float of the outputs is finite. Looked at while they are copied, off JavaScript's thread.
  bool finite;
};

/// A program with its addresses resolved. Keeps its arenas alive.
class LoadedProgram {
 public:
  virtual ~LoadedProgram() = default;
  virtual const Program& program() const = 0;
  /// Copies in, runs, copies out. `cancelled` may become true at any time: the run then ends early.
  /// @throws Error VG_DEVICE_FAILED, VG_ARGUMENT_INVALID; Cancelled.
  virtual RunResult run(const Submission& submission, const std::atomic<bool>& cancelled) = 0;
  /// Optional. Readies the program for being replayed: from then on `run` is one launch. False where a backend has no
  /// such thing. On the worker thread.
  virtual bool capture() { return false; }
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

/// Decodes and validates a program, and holds it against the arenas that it is to run over.
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
  virtual void upload(Memory& memory, std::size_t offset, std::span<const std::byte> bytes) = 0;
  virtual void fill(Memory& memory, std::uint8_t byte) = 0;
  /// @throws Error VG_PROGRAM_INVALID, VG_DEVICE_OUT_OF_MEMORY
  virtual std::shared_ptr<LoadedProgram> load(std::span<const std::uint32_t> words, const Arenas& arenas) = 0;
};

}  // namespace vitgraph
