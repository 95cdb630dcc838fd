import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel } from "@vitgraph/core";
import { writeMiniatureCheckpoint } from "@vitgraph/core/testing";
import { createNullDevice } from "@vitgraph/cuda-kernels/testing";
import { expect, test } from "vitest";
import { measureEagerMemory } from "./measure-memory.js";

test("weighs a run of exactly the tokens asked for, and leaves nothing behind", async () => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  await writeMiniatureCheckpoint(directory);
  await using model = await loadModel(directory);
  using device = createNullDevice({ memoryBytes: 2 ** 30 });
  const { residentBytes, eagerBytes } = await measureEagerMemory(model, device, {}, 150);
  // The grid cache fills the grids first.
  const { program, counts } = device.submissions.at(-1)!;
  const { weights, io, scratch } = program.arenaBytes;
  expect(counts[program.dims.findIndex(({ name }) => name === "tokens")]).toBe(150);
  const fill = device.submissions[0]!.program.arenaBytes;
  const resident = weights + fill.cache + fill.io + fill.scratch;
  expect(residentBytes).toBe(resident);
  expect(eagerBytes).toBe(resident + io + scratch);
  expect(device.liveHandles()).toBe(0);
  await rm(directory, { recursive: true });
});
