#include "backend/backend.h"

#include "common/error.h"

namespace vitgraph {

Program decode_for(std::span<const std::uint32_t> words, DType activation, const Arenas& arenas) {
  Program program = decode_program(words, activation);
  for (std::size_t i = 0; i < kArenaCount; ++i) {
    if (arenas[i]->size_bytes() >= program.arena_bytes[i]) continue;
    throw Error("VG_PROGRAM_INVALID",
                "the program needs " + std::to_string(program.arena_bytes[i]) + " bytes in the " + kArenaNames[i] +
                    " arena, which has " + std::to_string(arenas[i]->size_bytes()),
                "allocate every arena for the largest of the programs that share it");
  }
  return program;
}

}  // namespace vitgraph
