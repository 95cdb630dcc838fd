/** Memory that other processes map. That they read what was written is tested on a GPU: benchmarks/peer/connector.py. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createCpuDevice } from "./cpu-device.js";
import { createCudaDevice } from "./cuda-device.js";
import type { Device, ExportedMemory } from "./device.js";
import { describeBackends } from "./doctor.js";
import type { NativeDevice, NativeExportedMemory } from "./native.js";
import { wrapNativeDevice } from "./native-device.js";

test("the CPU backend exports no memory", () => {
  using device = createCpuDevice({ threads: 1 });
  expect(device.exportMemory(1024)).toBeNull();
});

describe("over native memory that takes four bytes at once", () => {
  let memory: ExportedMemory;
  let written: Uint8Array;
  let underWay: number;
  let failAt: number;
  beforeEach(() => {
    written = new Uint8Array(16);
    underWay = 0;
    failAt = -1;
    const native: NativeExportedMemory = {
      __brand: "NativeExportedMemory",
      info: () => ({ handle: new Uint8Array(64).fill(7), sizeBytes: 16, mostBytes: 4 }),
      async write({ offset, bytes }) {
        underWay += 1;
        expect(underWay).toBe(1);
        expect(bytes.length).toBeLessThanOrEqual(4);
        await new Promise(setImmediate);
        underWay -= 1;
        if (offset === failAt)
          throw Object.assign(new Error(), { code: "VG_DEVICE_FAILED", fact: "no copy" });
        written.set(bytes, offset);
      },
      dispose() {},
    };
    const device = {
      info: () => ({ backend: "cuda", name: "", facts: {}, activationDType: "bf16", kernels: [] }),
      exportMemory: () => native,
    } as unknown as NativeDevice;
    memory = wrapNativeDevice(device).exportMemory(16) as ExportedMemory;
  });

  test("a write is done in parts, and writes one after the other", async () => {
    await Promise.all([
      memory.write(
        1,
        Uint8Array.from({ length: 10 }, (_, index) => index + 1),
      ),
      memory.write(11, Uint8Array.of(20, 21)),
      memory.write(13, new Uint8Array()),
    ]);
    expect([...written]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 21, 0, 0, 0]);
    expect([memory.sizeBytes, memory.handle.length]).toEqual([16, 64]);
  });

  test("bytes that were transferred before their turn are an error, not a write of nothing", async () => {
    const bytes = new Uint8Array(8).fill(1);
    const first = memory.write(0, new Uint8Array(8).fill(2));
    const second = memory.write(8, bytes);
    structuredClone(bytes, { transfer: [bytes.buffer] });
    await first;
    await expect(second).rejects.toMatchObject({
      code: "VG_ARGUMENT_INVALID",
      fact: "the bytes of a write to exported memory were transferred or shrunk before they were copied",
    });
    expect([...written.subarray(8)]).toEqual(new Array(8).fill(0));
  });

  test("a write that fails does not fail the next one", async () => {
    failAt = 4;
    const failed = memory.write(0, new Uint8Array(16).fill(1));
    const next = memory.write(12, Uint8Array.of(2));
    await expect(failed).rejects.toMatchObject({ code: "VG_DEVICE_FAILED" });
    await next;
    expect([...written]).toEqual([1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
  });
});

const { usable } = describeBackends().backends.cuda;
if (!usable)
  console.warn("exported memory: SKIPPED on cuda, which is not usable here (see `vitgraph doctor`)");

describe.skipIf(!usable)("cuda", () => {
  let device: Device;
  beforeEach(() => {
    device = createCudaDevice({ algorithmCache: "" });
  });
  afterEach(() => device[Symbol.dispose]());

  test("a block has whole pages, a handle of its own, and bounds", async () => {
    const [first, second] = [device.exportMemory(1), device.exportMemory(2 ** 21 + 1)] as [
      ExportedMemory,
      ExportedMemory,
    ];
    expect([first.sizeBytes, second.sizeBytes]).toEqual([2 ** 21, 2 ** 22]);
    expect(first.handle).toHaveLength(64);
    expect(Buffer.compare(first.handle, second.handle)).not.toBe(0);
    await second.write(0, new Uint8Array(2 ** 22).fill(1));
    await expect(first.write(2 ** 21 - 1, new Uint8Array(2))).rejects.toMatchObject({
      code: "VG_ARGUMENT_INVALID",
    });
    await first.write(2 ** 21 - 1, new Uint8Array(1));
    expect(device.liveHandles()).toBe(2);
    for (const memory of [first, second]) memory[Symbol.dispose]();
    expect(device.liveHandles()).toBe(0);
    await expect(first.write(0, new Uint8Array(1))).rejects.toMatchObject({ code: "VG_DISPOSED" });
  });

  test("the GPU has the name that other processes know it by", () => {
    expect(device.info.facts.pciBusId).toMatch(/^[\da-f]{4,8}:[\da-f]{2}:[\da-f]{2}\.0$/i);
  });
});
