/**
 * A device that fails at any one step, whichever it is: opening an engine gives back all memory, and a batch ends with its
 * device's error. The steps are counted in a run without faults, and each of them then fails once.
 */
import { createDevice, type Device, type Executable } from "@vitgraph/cuda-kernels";
import { createNullDevice } from "@vitgraph/cuda-kernels/testing";
import { type ErrorCode, VitgraphError } from "@vitgraph/errors";
import { VirtualClock } from "@vitgraph/scheduler/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Grid, PixelItem } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import { VisionEncoder } from "../runtime/vision-encoder.js";
import { type MiniatureModel, openMiniatureModel } from "../testing/miniature-model.js";
import { EncoderEngine } from "./encoder-engine.js";

let miniature: MiniatureModel;
let model: LoadedModel;
const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);
beforeAll(async () => {
  miniature = await openMiniatureModel();
  model = miniature.model;
  process.on("unhandledRejection", note);
});
afterAll(() => {
  process.off("unhandledRejection", note);
  return miniature[Symbol.asyncDispose]();
});

class Faults {
  steps: string[] = [];
  /** The steps that fail, counted from 0. */
  #failing: readonly number[] = [];
  readonly #code: ErrorCode;

  constructor(code: ErrorCode = "VG_DEVICE_FAILED") {
    this.#code = code;
  }

  /** Counts from 0 again. */
  restart(...failing: readonly number[]): void {
    this.steps = [];
    this.#failing = failing;
  }

  step(name: string): void {
    if (this.#failing.includes(this.steps.push(name) - 1)) throw new VitgraphError(this.#code, `no ${name}`);
  }
}

/** The device with other methods. */
function replacing(device: Device, methods: Partial<Device>): Device {
  return new Proxy(device, {
    get(target, name) {
      const value = Reflect.get(name in methods ? methods : target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A device that captures, and whose every step may fail. */
function faultyDevice(faults: Faults, device: Device = createNullDevice()): Device {
  const load: Device["load"] = (program, arenas): Executable => {
    faults.step("load");
    const executable = device.load(program, arenas);
    return {
      program,
      capture: async () => {
        faults.step("capture");
        return { measureMs: 0, captureMs: 0 };
      },
      submit: async (submission) => {
        faults.step("submit");
        return executable.submit(submission);
      },
      [Symbol.dispose]: () => executable[Symbol.dispose](),
    };
  };
  const steps: Partial<Device> = {
    load,
    allocate: (sizeBytes) => {
      faults.step("allocate");
      return device.allocate(sizeBytes);
    },
    memory: () => {
      faults.step("memory");
      return device.memory();
    },
    upload: async (...given) => {
      faults.step("upload");
      return device.upload(...given);
    },
    fill: async (...given) => {
      faults.step("fill");
      return device.fill(...given);
    },
  };
  return replacing(device, steps);
}

/** Everything that opening a device can do: graphs, self-check, warm grids, measured costs. */
function open(faults: Faults, devices: Device[], clock = new VirtualClock()): Promise<EncoderEngine> {
  return EncoderEngine.create({
    model,
    clock,
    costs: "measure",
    costDirectory: "",
    warmUpGrids: [{ t: 1, h: 4, w: 4 }],
    compilationConfig: { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [64] },
    devices: [
      () => {
        const device = faultyDevice(faults);
        devices.push(device);
        return device;
      },
    ],
  });
}

/** Lets time pass. Devices that come back read files, for which no virtual clock waits. */
async function pass(clock: VirtualClock, isDone: () => boolean): Promise<void> {
  while (!isDone()) {
    await clock.advance(100);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const turns = async () => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

test("opening an engine gives back all memory, whichever step fails", async () => {
  const counted = new Faults();
  await (await open(counted, [])).close();
  expect(new Set(counted.steps)).toEqual(
    new Set(["allocate", "load", "upload", "memory", "capture", "submit", "fill"]),
  );
  for (let failing = 0; failing < counted.steps.length; failing++) {
    const faults = new Faults();
    faults.restart(failing);
    const devices: Device[] = [];
    const outcome = await open(faults, devices).then(
      (engine) => engine.close(),
      (error: VitgraphError) => error.code,
    );
    expect([failing, counted.steps[failing], outcome]).toEqual([
      failing,
      counted.steps[failing],
      "VG_DEVICE_FAILED",
    ]);
    expect(devices.map((device) => device.liveHandles())).toEqual([0]);
  }
  await turns();
  expect(unhandled).toEqual([]);
});

/** Grids that share a batch, one that is there twice, and one beyond the budgets. */
const GRIDS = [
  [
    { t: 1, h: 2, w: 4 },
    { t: 1, h: 4, w: 4 },
  ],
  [
    { t: 1, h: 4, w: 4 },
    { t: 1, h: 8, w: 6 },
  ],
  [{ t: 1, h: 16, w: 20 }],
];

const itemsOf = (grids: readonly Grid[]) =>
  grids.map((grid): PixelItem => {
    const pixels = Uint8Array.from({ length: grid.h * grid.w * 12 }, (_, at) => (at * 37 + grid.w) % 251);
    return { format: "u8_still", grid, pixels };
  });

test.each<ErrorCode>(["VG_DEVICE_FAILED", "VG_DEVICE_OUT_OF_MEMORY"])(
  "a run that ends with %s at any step leaves the encoder as it was",
  async (code) => {
    const faults = new Faults(code);
    const open = (device: Device) =>
      VisionEncoder.create({
        model,
        device,
        // Room for one of the larger grids at a time.
        gridCacheBytes: 20_000,
        compilationConfig: { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [16] },
      });
    const run = async (encoder: VisionEncoder) =>
      (await Promise.all(GRIDS.map((grids) => encoder.encode(itemsOf(grids))))).flat();
    using reference = createDevice({ backend: "cpu" });
    using referenceEncoder = await open(reference);
    const expected = (await run(referenceEncoder)).map(
      (outcome) => outcome.status === "fulfilled" && outcome.value.data,
    );
    expect(expected).not.toContain(false);
    for (let failing = 0; ; failing++) {
      using device = faultyDevice(faults, createDevice({ backend: "cpu" }));
      faults.restart();
      const encoder = await open(device);
      faults.restart(failing);
      const first = await run(encoder);
      if (faults.steps.length <= failing) break;
      for (const [at, outcome] of first.entries()) {
        if (outcome.status === "rejected") expect(outcome.reason.code).toBe(code);
        else expect(outcome.value.data).toEqual(expected[at]);
      }
      const second = await run(encoder);
      expect(second.map((outcome) => outcome.status === "fulfilled" && outcome.value.data)).toEqual(expected);
      encoder[Symbol.dispose]();
      expect(device.liveHandles()).toBe(0);
    }
    await turns();
    expect(unhandled).toEqual([]);
  },
);

test("an engine answers every item and comes back, whichever step of a run fails, and then one of the recovery", async () => {
  for (let failing = 0; ; failing++) {
    const faults = new Faults();
    const devices: Device[] = [];
    const clock = new VirtualClock();
    const engine = await open(faults, devices, clock);
    const run = async () => {
      let isDone = false;
      const calls = Promise.all(GRIDS.map((grids) => engine.encode(itemsOf(grids)))).finally(() => {
        isDone = true;
      });
      await pass(clock, () => isDone);
      const outcomes = (await calls).flat();
      return outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason.code : "ok"));
    };
    faults.restart(failing, failing + 7);
    const codes = new Set(await run());
    const failed = codes.delete("VG_DEVICE_FAILED");
    codes.delete("ok");
    expect(codes).toEqual(new Set());
    await pass(clock, () => engine.stats().devices[0]?.state === "up");
    faults.restart();
    expect(new Set(await run())).toEqual(new Set(["ok"]));
    await engine.close();
    expect(engine.state).toBe("closed");
    expect(devices.map((device) => device.liveHandles())).toEqual(devices.map(() => 0));
    if (!failed) break;
  }
  await turns();
  expect(unhandled).toEqual([]);
});

test("a device is given back although its programs can't be", async () => {
  const device = createNullDevice();
  let isGivenBack = false;
  const stuck = replacing(device, {
    load: (program, arenas) =>
      Object.assign(device.load(program, arenas), {
        [Symbol.dispose]: () => {
          throw new VitgraphError("VG_DEVICE_FAILED", "no dispose");
        },
      }),
    [Symbol.dispose]: () => {
      isGivenBack = true;
    },
  });
  const engine = await EncoderEngine.create({
    model,
    compilationConfig: { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [64] },
    devices: [() => stuck],
  });
  await expect(engine.close()).rejects.toThrow("no dispose");
  expect(engine.state).toBe("closed");
  expect(isGivenBack).toBe(true);
});
