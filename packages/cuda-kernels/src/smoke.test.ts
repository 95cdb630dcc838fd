import { expect, test } from "vitest";
import { createCpuDevice, type Program, type ProgramBuffer } from "./index.js";

test("a linear runs", async () => {
  using device = createCpuDevice();
  const b = (
    name: string,
    arena: "weights" | "io" | "scratch",
    offset: number,
    rows: number,
    columns: number,
    dim: string | null,
  ): ProgramBuffer => ({
    name,
    arena,
    offset,
    dtype: "f32",
    rows: dim ? { dim, plus: 0 } : { dim: null, plus: rows },
    columns,
    rowStride: columns,
  });
  const program: Program = {
    version: 1,
    dims: [{ name: "m", capacity: 4 }],
    arenaBytes: { weights: 256, io: 1024, scratch: 0 },
    buffers: [b("x", "io", 0, 0, 2, "m"), b("w", "weights", 0, 3, 2, null), b("y", "io", 512, 0, 3, "m")],
    instructions: [{ kernel: "linear", buffers: [0, 1, -1, -1, 2], scalars: [0] }],
  };
  using weights = device.allocate(256);
  using io = device.allocate(1024);
  using scratch = device.allocate(0);
  await device.upload(weights, 0, new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer));
  using exe = device.load(program, { weights, io, scratch });
  const y = new Float32Array(6);
  const times = await exe.submit({
    counts: [2],
    inputs: [{ buffer: 0, bytes: new Uint8Array(Float32Array.of(1, 1, 2, 0).buffer) }],
    outputs: [{ buffer: 2, bytes: new Uint8Array(y.buffer) }],
  });
  expect([...y]).toEqual([3, 7, 11, 2, 6, 10]);
  expect(times.durationMs).toBeGreaterThan(0);
});
