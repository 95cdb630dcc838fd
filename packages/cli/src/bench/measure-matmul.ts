/**
 * The rate of the device's fastest matrix product, as a reference for workloads: a program of one `linear`, autotuned
 * like the tower's.
 */
import type { Device } from "@vitgraph/core";
import { ACTIVATIONS, type Arena, DTYPE_BYTES, PROGRAM_VERSION, type Program } from "@vitgraph/cuda-kernels";
import type { MeasuredMatmul } from "./report.js";

/** Large enough for a GPU's best rate. A CPU would take many seconds, and is not measured. */
const SIDE = 8192;
const RUNS = 10;
/** Random values are uploaded repeatedly in parts of this size: zeros would run faster than real data. */
const PART_BYTES = 8 * 2 ** 20;

export async function measureMatmul(device: Device): Promise<MeasuredMatmul | null> {
  if (device.info.backend !== "cuda") return null;
  const program = squareProduct(device);
  using weights = device.allocate(program.arenaBytes.weights);
  using io = device.allocate(program.arenaBytes.io);
  using scratch = device.allocate(program.arenaBytes.scratch);
  for (const arena of [weights, io]) await fillWithRandom(device, arena);
  using executable = device.load(program, { weights, io, scratch });
  await executable.capture();
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const { durationMs } = await executable.submit({ counts: [SIDE], inputs: [], outputs: [] });
    times.push(durationMs);
  }
  // The median of the runs after the first, which raises the clocks.
  const durationMs = times.slice(1).sort((a, b) => a - b)[(RUNS - 1) >> 1] as number;
  return { side: SIDE, durationMs, tflops: (2 * SIDE ** 3) / durationMs / 1e9 };
}

function squareProduct({ activationDType: dtype }: Device): Program {
  const bytes = SIDE * SIDE * DTYPE_BYTES[dtype];
  const matrix = { dtype, columns: SIDE, rowStride: SIDE };
  const rows = { dim: "rows", plus: 0 };
  return {
    version: PROGRAM_VERSION,
    dims: [{ name: "rows", capacity: SIDE }],
    arenaBytes: { weights: bytes, io: 2 * bytes, scratch: 0, cache: 0 },
    buffers: [
      { name: "x", arena: "io", offset: 0, rows, ...matrix },
      { name: "weight", arena: "weights", offset: 0, rows: { dim: null, plus: SIDE }, ...matrix },
      { name: "y", arena: "io", offset: bytes, rows, ...matrix },
    ],
    instructions: [{ kernel: "linear", buffers: [0, 1, -1, -1, 2], scalars: [ACTIVATIONS.indexOf("none")] }],
  };
}

/** bf16 values of either sign between 1/8 and 2. */
async function fillWithRandom(device: Device, arena: Arena): Promise<void> {
  const bits = new Uint16Array(PART_BYTES / 2);
  let state = 1;
  for (let i = 0; i < bits.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bits[i] = ((state >>> 16) & 0x807f) | ((124 + ((state >>> 8) & 3)) << 7);
  }
  const part = new Uint8Array(bits.buffer);
  for (let offset = 0; offset < arena.sizeBytes; offset += PART_BYTES) {
    await device.upload(arena, offset, part.subarray(0, Math.min(PART_BYTES, arena.sizeBytes - offset)));
  }
}
