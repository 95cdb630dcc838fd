/**
 * Writes the native tables of KERNELS and ACTIVATIONS in src/kernels.ts, for C++: the enums, counts and positions of
 * operands (program/kernels.gen.h), and the table of signatures (program/signatures.gen.cc). scripts/build-native.mjs
 * calls it into the build folder before each build; a file whose text stays the same is not touched, so that nothing is
 * recompiled.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("../src/kernels.ts", import.meta.url));
const BANNER = "// Generated from KERNELS in src/kernels.ts by scripts/generate-signatures.mjs.";

/** @param folder a folder for headers in the build folder */
export async function writeSignatures(folder) {
  const { KERNELS, ACTIVATIONS } = await readTable();
  const files = { "kernels.gen.h": header(KERNELS, ACTIVATIONS), "signatures.gen.cc": table(KERNELS) };
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, "program", name);
    if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

/** A checkout has the source, and esbuild to read it; an installed package has neither, but the built module. */
async function readTable() {
  if (!existsSync(SOURCE)) return import("../dist/index.js");
  const { transformSync } = await import("esbuild");
  const { code } = transformSync(readFileSync(SOURCE, "utf8"), { loader: "ts", format: "esm" });
  return import(`data:text/javascript,${encodeURIComponent(code)}`);
}

function header(kernels, activations) {
  const signatures = Object.values(kernels);
  const most = (count) => Math.max(...signatures.map(count));
  return `${BANNER}
#pragma once

#include <cstddef>
#include <cstdint>

namespace vitgraph {

/// In the order of the table: the value is the encoding.
enum class Kernel : std::uint32_t {
${Object.keys(kernels)
  .map((name) => `  ${name},\n`)
  .join("")}};
inline constexpr std::size_t kKernelCount = ${signatures.length};
inline constexpr std::size_t kMaxOperands = ${most(({ buffers }) => buffers.length)};
inline constexpr std::size_t kMaxScalars = ${most(({ scalars }) => Object.keys(scalars).length)};

enum class Activation : std::uint32_t { ${activations.join(", ")} };
inline constexpr std::uint32_t kActivationCount = ${activations.length};

/// The positions of each kernel's operands in an instruction.
namespace operands {
${Object.entries(kernels).map(positions).join("")}}  // namespace operands

}  // namespace vitgraph
`;
}

function positions([kernel, { buffers }]) {
  const constants = buffers.map((buffer, at) => `${buffer.replace("?", "").toUpperCase()} = ${at}`);
  return `namespace ${kernel} {
inline constexpr std::size_t ${constants.join(", ")};
}
`;
}

function table(kernels) {
  return `${BANNER}
#include "program/signatures.h"

namespace vitgraph {

const std::vector<KernelSignature>& kernel_signatures() {
  // Never destroyed: a device's thread may still read it while the process exits.
  static const auto& table = *new std::vector<KernelSignature>{
${Object.entries(kernels).map(row).join("")}  };
  return table;
}

}  // namespace vitgraph
`;
}

/** One KernelSignature, its fields in the order of program/signatures.h. */
function row([kernel, { buffers, operandTypes, scalars, inPlace = [], divisible = [], outputs = 1 }]) {
  const operands = buffers.map((buffer, index) => {
    const name = buffer.replace(/\?$/, "");
    return `{${text(name)}, ${text(operandTypes[index])}, ${name !== buffer}, ${inPlace.includes(buffer)}}`;
  });
  const kinds = Object.entries(scalars).map(([name, kind]) => `{${text(name)}, ScalarKind::${kind}}`);
  return `      {${text(kernel)},
       {${operands.join(",\n        ")}},
       {${kinds.join(", ")}},
       {${divisible.map(text).join(", ")}},
       ${outputs}},
`;
}

/** Names and operand types hold no character that C++ would escape otherwise. */
function text(value) {
  return JSON.stringify(value);
}
