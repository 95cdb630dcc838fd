import type { Device } from "@vitgraph/cuda-kernels";
import { createNullDevice, type RunningSubmission } from "@vitgraph/cuda-kernels/testing";
import { VitgraphError } from "@vitgraph/errors";
import { expect, test } from "vitest";
import { compile } from "../compiler/compile.js";
import { createVisionModel } from "../models/index.js";
import { MINIATURE_CONFIG } from "../testing/miniature-checkpoint.js";
import { EncoderPrograms, rowClasses } from "./encoder-programs.js";
import { stageBatch } from "./stage-batch.js";

const model = createVisionModel(MINIATURE_CONFIG);
const graph = model.buildGraph({ channelScale: new Float32Array(6) });

function programsOn(device: Device): EncoderPrograms {
  const tensors = graph.nodes.flatMap((node) => (node.op === "weight" ? [node.attributes.tensor] : []));
  const compiled = compile(graph, {
    fuse: true,
    target: device,
    weightDTypes: new Map(tensors.map((tensor) => [tensor, "bf16" as const])),
  });
  const { weights } = compiled.program({ tokens: 1, patches: 4, segments: 1 }).plan.arenaBytes;
  return new EncoderPrograms(device, compiled, device.allocate(weights), model, undefined);
}

const still = (h: number, w: number) => ({
  format: "u8_still" as const,
  grid: { t: 1, h, w },
  pixels: new Uint8Array(h * w * 12),
});

test("each item's rows come into memory of their own", async () => {
  const transfers: { offsetBytes: number | undefined; sizeBytes: number }[] = [];
  const respond = ({ outputs }: RunningSubmission) => {
    for (const [index, { bytes, offsetBytes }] of outputs.entries()) {
      bytes.fill(index + 1);
      transfers.push({ offsetBytes, sizeBytes: bytes.byteLength });
    }
  };
  using device = createNullDevice({ respond });
  using programs = programsOn(device);
  await programs.prepare([16]);
  const { items, columns } = await programs.run(stageBatch(model, [still(2, 4), still(4, 4)]), 16);
  // The merged embedding and one deepstack level, 8 columns each, in f32.
  expect(columns).toBe(16);
  expect(transfers).toEqual([
    { offsetBytes: 0, sizeBytes: 2 * 64 },
    { offsetBytes: 2 * 64, sizeBytes: 4 * 64 },
  ]);
  expect(items.map(({ bytes }) => new Set(bytes))).toEqual([new Set([1]), new Set([2])]);
  // Whoever keeps one item's rows keeps nothing else.
  expect(items.map(({ bytes }) => bytes.buffer.byteLength)).toEqual([2 * 64, 4 * 64]);
  expect(items.map(({ firstNonFinite }) => firstNonFinite)).toEqual([-1, -1]);
});

/** A device that needs as much again as a program's io arena, as a GPU needs room for results that leave. */
function deviceWithRings(memoryBytes: number): Device {
  const device = createNullDevice({ memoryBytes });
  const load: Device["load"] = (program, arenas) => {
    const { freeBytes } = device.memory();
    if (program.arenaBytes.io > freeBytes) {
      throw new VitgraphError(
        "VG_DEVICE_OUT_OF_MEMORY",
        `${program.arenaBytes.io} bytes were asked for, and ${freeBytes} are free`,
      );
    }
    return device.load(program, arenas);
  };
  return new Proxy(device, {
    get(target, name) {
      if (name === "load") return load;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

test.each<[what: string, create: (memoryBytes: number) => Device, cause: string]>([
  [
    "the arenas",
    (memoryBytes) => createNullDevice({ memoryBytes }),
    "the null device was asked for N bytes, and N of N are free",
  ],
  ["what the device needs besides the arenas", deviceWithRings, "N bytes were asked for, and N are free"],
])("a budget without room for %s: the error says which of the others fit", async (_, create, cause) => {
  using unlimited = createNullDevice();
  using measured = programsOn(unlimited);
  await measured.prepare([256, 1024]);
  const [large, small] = unlimited.loaded.map(({ arenaBytes }) => arenaBytes);
  // Enough for the arenas of 256 tokens; or for those of 1024, and not for what comes with them.
  const { weights, io, scratch } = create === deviceWithRings ? large! : small!;
  using device = create(weights + scratch + Math.floor(1.5 * io));
  using programs = programsOn(device);
  const error = await programs.prepare([16, 64, 256, 1024]).catch((reason: VitgraphError) => reason);
  const { code, message } = error as VitgraphError;
  expect(code).toBe("VG_DEVICE_OUT_OF_MEMORY");
  expect(message.replaceAll(/\b\d{4,}\b(?! does)/g, "N")).toBe(
    `token budget 1024 does not fit the device: ${cause}: of the budgets 16, 64, 256 fit; set encoder_cudagraph_token_budgets or maxBatchTokens`,
  );
});

test("eager arenas that grow replace the smaller ones: their programs go first", async () => {
  const run = (programs: EncoderPrograms, tokens: number) =>
    programs.run(stageBatch(model, [still(2, 2 * tokens)]), null);
  using unlimited = createNullDevice();
  using measured = programsOn(unlimited);
  for (const tokens of [64, 512]) await run(measured, tokens);
  const { weights, io, scratch } = unlimited.loaded[1]!.arenaBytes;
  // For the larger pair of arenas alone.
  using device = createNullDevice({ memoryBytes: weights + io + scratch });
  using programs = programsOn(device);
  for (const tokens of [64, 512, 64]) await run(programs, tokens);
  expect(device.loaded).toHaveLength(3);
});

/**
 * A device that captures, and tells the capacities of the programs that run, in tokens.
 * @param failing the capture that fails, counted from 1
 */
function capturingDevice(ran: number[], failing = 0): Device {
  const device = createNullDevice();
  let captures = 0;
  const load: Device["load"] = (program, arenas) => {
    const executable = device.load(program, arenas);
    return {
      program,
      capture: async () => {
        captures += 1;
        if (captures === failing) throw new VitgraphError("VG_DEVICE_FAILED", "no capture");
        return { measureMs: 1, captureMs: 1 };
      },
      submit(submission) {
        ran.push(program.dims.find(({ name }) => name === "tokens")?.capacity ?? 0);
        return executable.submit(submission);
      },
      [Symbol.dispose]: () => executable[Symbol.dispose](),
    };
  };
  return new Proxy(device, {
    get(target, name) {
      if (name === "load") return load;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

test("a batch replays the smallest of its budget's programs that holds it", async () => {
  const ran: number[] = [];
  using device = capturingDevice(ran);
  using programs = programsOn(device);
  expect(await programs.prepare([64, 128, 256])).toEqual({ captured: [256, 128, 64], measureMs: 8 });
  expect([64, 128, 256].map((budget) => programs.classesOf(budget))).toEqual([
    [32, 64],
    [96, 128],
    [160, 192, 224, 256],
  ]);
  for (const tokens of [1, 32, 33, 64]) await programs.run(stageBatch(model, [still(2, 2 * tokens)]), 64);
  for (const tokens of [129, 160, 161, 225, 256]) {
    await programs.run(stageBatch(model, [still(2, 2 * tokens)]), 256);
  }
  expect(ran).toEqual([32, 32, 64, 64, 160, 160, 192, 256, 256]);
});

test("a capture that fails leaves no program behind, whichever it is", async () => {
  // The budget's own program, and those of its three row classes.
  for (const failing of [1, 2, 3, 4]) {
    using device = capturingDevice([], failing);
    {
      using programs = programsOn(device);
      await expect(programs.prepare([256])).rejects.toThrow("no capture");
    }
    // The weights are the caller's.
    expect(device.liveHandles()).toBe(1);
  }
});

test("a budget of which a row class has no room is named itself", async () => {
  const device = capturingDevice([]);
  let loads = 0;
  const load: Device["load"] = (program, arenas) => {
    loads += 1;
    if (loads > 1) throw new VitgraphError("VG_DEVICE_OUT_OF_MEMORY", "no room");
    return device.load(program, arenas);
  };
  const full = new Proxy(device, {
    get: (target, name) => (name === "load" ? load : Reflect.get(target, name, target)),
  });
  using programs = programsOn(full);
  await expect(programs.prepare([256])).rejects.toThrow("token budget 256 does not fit the device: no room");
});

test("row classes lie between a budget and the next smaller one, a row of tiles apart at the least", () => {
  expect(rowClasses(1024, 512)).toEqual([640, 768, 896]);
  expect(rowClasses(1024, 640)).toEqual([768, 896]);
  expect(rowClasses(64, 0)).toEqual([32]);
  expect(rowClasses(16, 0)).toEqual([]);
  expect(rowClasses(13_824, 4096)).toEqual([4320, 5184, 6048, 6912, 8640, 10_368, 12_096]);
});
