import { VitgraphError } from "@vitgraph/errors";
import { expect, test } from "vitest";
import { addCase } from "./kernel-cases.js";
import { createNullDevice, type NullDevice } from "./null-device.js";
import { kernelCaseProgram } from "./run-case.js";

const program = kernelCaseProgram(addCase({ m: 2, n: 4 }));

function load(device: NullDevice) {
  const { weights, io, scratch } = program.arenaBytes;
  return device.load(program, {
    weights: device.allocate(weights),
    io: device.allocate(io),
    scratch: device.allocate(scratch),
  });
}

test("it keeps what it was handed, in order", async () => {
  using device = createNullDevice();
  using executable = load(device);
  using arena = device.allocate(64);
  const bytes = Uint8Array.of(1, 2, 3, 4);
  const run = executable.submit({ counts: [1], inputs: [{ buffer: 0, offsetBytes: 4, bytes }], outputs: [] });
  await Promise.all([run, device.upload(arena, 8, bytes), device.fill(arena, 0xff)]);
  expect(device.loaded).toEqual([program]);
  expect(device.submissions).toEqual([
    { program, counts: [1], inputs: [{ buffer: 0, offsetBytes: 4, bytes }] },
  ]);
  expect(device.writes).toEqual([
    { kind: "upload", arena, offset: 8, sizeBytes: 4 },
    { kind: "fill", arena, byte: 0xff },
  ]);
});

test("it answers in order, with what the test wants it to say", async () => {
  const order: number[] = [];
  using device = createNullDevice({
    async respond({ counts, outputs }) {
      // The first takes longest, and still comes first.
      await new Promise((resolve) => setTimeout(resolve, counts[0] === 2 ? 5 : 0));
      outputs[0]!.bytes.fill(counts[0]!);
    },
  });
  using executable = load(device);
  const runs = [2, 1, 0].map(async (count) => {
    const { outputs } = await executable.submit({
      counts: [count],
      inputs: [],
      outputs: [{ buffer: 2, sizeBytes: 4 }],
    });
    order.push(count);
    return outputs[0]![0];
  });
  expect(await Promise.all(runs)).toEqual([2, 1, 0]);
  expect(order).toEqual([2, 1, 0]);
});

test("a run that the test fails leaves the next one alone", async () => {
  using device = createNullDevice({
    respond({ counts }) {
      if (counts[0] === 1) throw new VitgraphError("VG_DEVICE_FAILED", "as the test wished");
    },
  });
  using executable = load(device);
  const submit = (count: number) => executable.submit({ counts: [count], inputs: [], outputs: [] });
  const [first, second] = await Promise.allSettled([submit(1), submit(2)]);
  expect(first).toMatchObject({ status: "rejected", reason: { code: "VG_DEVICE_FAILED" } });
  expect(second.status).toBe("fulfilled");
});

test("it counts handles and memory", () => {
  using device = createNullDevice({ memoryBytes: 100 });
  const arena = device.allocate(60);
  expect(device.liveHandles()).toBe(1);
  expect(() => device.allocate(50)).toThrow(
    "the null device was asked for 50 bytes, and 40 of 100 are free: raise memoryBytes",
  );
  arena[Symbol.dispose]();
  arena[Symbol.dispose]();
  expect(device.liveHandles()).toBe(0);
  device.allocate(100);
  expect(device.memory()).toEqual({ freeBytes: 0, totalBytes: 100 });
});

test("it refuses what a device refuses", async () => {
  const device = createNullDevice({ kernels: ["linear"] });
  expect(() => load(device)).toThrow("instruction 0 (add) names a kernel that this backend lacks");
  const arena = device.allocate(8);
  await expect(device.upload(arena, 6, new Uint8Array(4))).rejects.toThrow(
    "4 bytes at offset 6 do not fit an arena of 8",
  );
  arena[Symbol.dispose]();
  await expect(device.fill(arena, 0)).rejects.toMatchObject({ code: "VG_DISPOSED" });
  device[Symbol.dispose]();
  expect(() => device.allocate(1)).toThrow("a device was used after it had been disposed");
});
