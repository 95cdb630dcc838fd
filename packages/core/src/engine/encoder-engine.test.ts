import type { Device } from "@vitgraph/cuda-kernels";
import {
  createNullDevice,
  type NullDevice,
  type NullDeviceOptions,
  type RunningSubmission,
} from "@vitgraph/cuda-kernels/testing";
import { VitgraphError } from "@vitgraph/errors";
import { VirtualClock } from "@vitgraph/scheduler/testing";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { PixelItem } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import type { BatchEvent, EngineObserver } from "../observability/observer.js";
import type { Embedding } from "../runtime/embedding.js";
import { BATCHES_IN_FLIGHT } from "../runtime/vision-encoder.js";
import { type MiniatureModel, openMiniatureModel } from "../testing/miniature-model.js";
import { EncoderEngine, type IndexedOutcome } from "./encoder-engine.js";
import type { EncoderEngineOptions } from "./engine-options.js";

let miniature: MiniatureModel;
let directory: string;
let model: LoadedModel;
beforeAll(async () => {
  miniature = await openMiniatureModel();
  ({ directory, model } = miniature);
});
afterAll(() => miniature[Symbol.asyncDispose]());

/** An item for the miniature model, with rows of 12 bytes. `value` identifies it. */
function item(tokens: number, value = 0, t = 1): PixelItem {
  const pixels = new Uint8Array(4 * tokens * t * (t === 1 ? 12 : 24)).fill(value);
  return { format: t === 1 ? "u8_still" : "u8", grid: { t, h: 2, w: 2 * tokens }, pixels };
}

const GRAPHS = { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [16, 64] };

interface Bench {
  readonly engine: EncoderEngine;
  readonly clock: VirtualClock;
  readonly devices: NullDevice[];
  /** All batches that ended. */
  readonly batches: BatchEvent[];
  /** State changes, of the engine and of its devices. */
  readonly changes: string[];
  /** Delays the end of a device's batches (of all devices, without an argument) until `release`. */
  hold(): { release(): void };
}

interface BenchOptions extends Partial<Omit<EncoderEngineOptions, "devices">> {
  readonly count?: number;
  /** Called for each submission once the engine is ready. An error that it throws fails the device's run. */
  readonly respond?: (device: number, submission: RunningSubmission) => void;
  /** Called for each device that is opened. An error that it throws makes opening fail. */
  readonly make?: (device: number, made: number) => NullDeviceOptions | undefined;
}

/** An engine on null devices over a virtual clock. Batches take no time unless they are held. */
async function setUp({ count = 1, respond, make, ...options }: BenchOptions = {}): Promise<Bench> {
  const clock = new VirtualClock();
  const devices: NullDevice[] = [];
  const batches: BatchEvent[] = [];
  const changes: string[] = [];
  let gate: Promise<void> | undefined;
  const made = new Array<number>(count).fill(0);
  let ready = false;
  const observer: EngineObserver = {
    batchEnded: (event) => batches.push(event),
    deviceChanged: ({ device, state }) => changes.push(`device ${device} ${state}`),
    stateChanged: (state) => changes.push(state),
  };
  const engine = await EncoderEngine.create({
    model,
    clock,
    compilationConfig: GRAPHS,
    outputCacheBytes: 0,
    observers: [observer],
    // So cheap that no batch waits for a busy device.
    costs: () => 1e-3,
    ...options,
    devices: Array.from({ length: count }, (_, index) => () => {
      const extra = make?.(index, made[index]!++) ?? {};
      const device = createNullDevice({
        respond: async (submission, program) => {
          if (ready) {
            await gate;
            respond?.(index, submission);
          }
          await extra.respond?.(submission, program);
        },
        ...extra,
      });
      devices.push(device);
      return device;
    }),
  });
  ready = true;
  const hold = () => {
    let release = () => {};
    gate = new Promise((resolve) => {
      release = resolve;
    });
    return {
      release: () => {
        gate = undefined;
        release();
      },
    };
  };
  return { engine, clock, devices, batches, changes, hold };
}

const codesOf = (outcomes: readonly PromiseSettledResult<Embedding>[]) =>
  outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value.tokens : outcome.reason.code));

/** Fills a held device with the maximum number of batches in flight. */
const keepBusy = async (engine: EncoderEngine) => {
  const calls: Promise<PromiseSettledResult<Embedding>[]>[] = [];
  for (let batch = 0; batch < BATCHES_IN_FLIGHT; batch++) {
    calls.push(engine.encode([item(64)]));
    await settled();
  }
  return calls;
};

/** Waits until all work that does not depend on time is done. */
const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe("batches", () => {
  test("items of several callers share one, and each caller gets its own in order", async () => {
    const { engine, batches } = await setUp();
    const calls = await Promise.all([
      engine.encode([item(3), item(1)]),
      engine.encode([item(5)]),
      engine.encode([]),
    ]);
    expect(calls.map(codesOf)).toEqual([[3, 1], [5], []]);
    expect(batches).toMatchObject([
      { items: 3, tokens: 9, budget: 16, device: 0, outcome: "ok", calls: [1, 0] },
    ]);
    await engine.close();
  });

  test("an idle device never waits, unless a window is asked for", async () => {
    const { engine, clock, batches } = await setUp({ batchWindowMs: 5 });
    const first = engine.encode([item(3)]);
    await clock.advance(3);
    const second = engine.encode([item(4)]);
    await clock.advance(1);
    expect(batches).toEqual([]);
    await clock.advance(1);
    await Promise.all([first, second]);
    expect(batches).toMatchObject([{ items: 2, itemTokens: [3, 4], queueMs: [5, 2] }]);
    await engine.close();
  });

  test("each device has a bounded number in flight, and waiting items start by priority", async () => {
    const { engine, batches, hold } = await setUp();
    const gate = hold();
    const running = await keepBusy(engine);
    const batchesInFlight = BATCHES_IN_FLIGHT;
    expect(engine.stats().queue).toEqual({ items: 0, tokens: 0, preparing: 0, batchesInFlight });
    const waiting = [engine.encode([item(62)], { priority: 1 }), engine.encode([item(63)], { priority: -1 })];
    await settled();
    expect(engine.stats().queue).toEqual({ items: 2, tokens: 125, preparing: 0, batchesInFlight });
    gate.release();
    await Promise.all([...running, ...waiting]);
    expect(batches.map(({ tokens }) => tokens).slice(-3)).toEqual([64, 63, 62]);
    await engine.close();
  });

  test.each([
    ["nothing", [], [6, 6]],
    ["little", [4], [1, 6, 6]],
    ["a third of its cost", [20], [1, 12]],
  ])(
    "a burst that would drain the queue is split in two where %s is in flight",
    async (_, before, expected) => {
      const { engine, batches, hold } = await setUp({ costs: (tokens) => 1e-3 * (5 + tokens) });
      const gate = hold();
      const calls = before.map((tokens) => engine.encode([item(tokens)]));
      await settled();
      calls.push(engine.encode(Array.from({ length: 12 }, () => item(5))));
      await settled();
      gate.release();
      await Promise.all(calls);
      expect(batches.map(({ items }) => items)).toEqual(expected);
      await engine.close();
    },
  );

  test("items that find the device busy wait for others until it needs the next batch", async () => {
    // Never eager, as costPerBudget without eager costs.
    const costs = (tokens: number, budget: number | null) =>
      budget === null ? Number.POSITIVE_INFINITY : tokens;
    const { engine, clock, batches, hold } = await setUp({ costs });
    const gate = hold();
    const calls = [engine.encode([item(40)])];
    await settled();
    for (const tokens of [3, 5]) {
      await clock.advance(10);
      calls.push(engine.encode([item(tokens)]));
      await settled();
    }
    // 1 ms and a quarter of 8 before the first batch is computed.
    await clock.advance(16);
    expect(engine.stats().queue).toMatchObject({ items: 2, batchesInFlight: 1 });
    await clock.advance(1);
    expect(engine.stats().queue).toMatchObject({ items: 0, batchesInFlight: 2 });
    gate.release();
    await Promise.all(calls);
    expect(batches.map(({ itemTokens }) => itemTokens)).toEqual([[40], [3, 5]]);
    await engine.close();
  });

  test("a function of costs that throws fails the items, and not the process", async () => {
    let broken = false;
    const costs = () => {
      if (broken) throw new Error("no costs");
      return 1e-3;
    };
    const { engine, hold } = await setUp({ costs });
    const gate = hold();
    const running = engine.encode([item(3)]);
    await settled();
    broken = true;
    const failing = engine.encode([item(4)]);
    await settled();
    gate.release();
    expect([await running, await failing].flat().map(({ status }) => status)).toEqual([
      "fulfilled",
      "rejected",
    ]);
    await engine.close();
  });

  test("videos beyond the graphs' frame limit run eagerly, in separate batches", async () => {
    const { engine, batches } = await setUp({
      compilationConfig: { ...GRAPHS, encoder_cudagraph_max_frames_per_batch: 0 },
    });
    await engine.encode([item(3), item(2, 0, 2), item(4)]);
    expect(batches.map(({ items, budget }) => [items, budget])).toEqual([
      [2, 16],
      [1, null],
    ]);
    await engine.close();
  });

  test.each([
    // Greedy fills in ascending order: 10 + 20 + 30 fit 64. By cost, each item goes to its cheapest batch.
    ["greedy", [3, 61], [[2, 64]]],
    ["first-fit", [3, 61], [[2, 64]]],
    [
      "cost",
      [3, 61],
      [
        [1, 16],
        [1, 64],
      ],
    ],
  ] as const)("packing %s", async (packing, sizes, expected) => {
    // A replay costs its budget, but a full one is very expensive: two batches are cheaper than one.
    const costs = (tokens: number, budget: number | null) =>
      budget === null ? Number.POSITIVE_INFINITY : tokens >= 64 ? 1e6 : budget;
    const { engine, batches } = await setUp({ packing, costs });
    await engine.encode(sizes.map((tokens) => item(tokens)));
    expect(batches.map(({ items, budget }) => [items, budget])).toEqual(expected);
    await engine.close();
  });

  test("run eagerly if that costs less than any replay", async () => {
    const { engine, batches } = await setUp({
      costs: (tokens, budget) => (budget === null ? tokens : 1000),
    });
    await engine.encode([item(5)]);
    expect(batches).toMatchObject([{ budget: null, padding: 0 }]);
    expect(engine.stats()).toMatchObject({ graphHits: 0, graphMisses: 1 });
    await engine.close();
  });
});

describe("shares", () => {
  /**
   * Number of batches between the arrival of a small caller and its own batch, after three callers that flood the
   * queue.
   */
  async function batchesBefore(options: readonly [flood: object, small: object]): Promise<number> {
    const { engine, batches, hold } = await setUp();
    const gate = hold();
    const floods = ["a", "b", "c"].flatMap((caller) =>
      Array.from({ length: 10 }, () => engine.encode([item(64)], { caller, ...options[0] })),
    );
    await settled();
    const small = engine.encode([item(1)], { caller: "small", ...options[1] });
    await settled();
    gate.release();
    await Promise.all([...floods, small]);
    await engine.close();
    return batches.findIndex(({ tokens }) => tokens < 64) - BATCHES_IN_FLIGHT;
  }

  test("a small caller waits for at most two batches after three callers that flood the queue", async () => {
    expect(await batchesBefore([{}, {}])).toBeLessThanOrEqual(2);
  });

  test("apply within a priority: lower numbers still go first", async () => {
    expect(await batchesBefore([{}, { priority: 1 }])).toBe(30 - BATCHES_IN_FLIGHT);
    expect(await batchesBefore([{ priority: 1 }, {}])).toBe(0);
  });

  test("are per call, if no caller is named", async () => {
    const { engine, batches, hold } = await setUp();
    const gate = hold();
    const flood = engine.encode(Array.from({ length: 20 }, () => item(64)));
    await settled();
    const small = engine.encode([item(1)]);
    await settled();
    gate.release();
    await Promise.all([flood, small]);
    expect(batches.findIndex(({ tokens }) => tokens < 64) - BATCHES_IN_FLIGHT).toBeLessThanOrEqual(2);
    await engine.close();
  });
});

test("headers are read in the pool, and a cancelled call stops waiting for them", async () => {
  const { engine, clock } = await setUp({ limits: { preprocessConcurrency: 1 } });
  let release = () => {};
  const read = new Promise<ArrayBuffer>((resolve) => {
    release = () => resolve(new ArrayBuffer(8));
  });
  const slow = { image: { size: 8, arrayBuffer: () => read } as unknown as Blob };
  const first = engine.getItemSpecs([slow]);
  const second = engine.getItemSpecs([slow, slow], { timeoutMs: 20 });
  const third = engine.encode([slow], { timeoutMs: 30 });
  await settled();
  expect(engine.stats().queue.preparing).toBe(4);
  await clock.advance(30);
  for (const outcomes of await Promise.all([second, third])) {
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ reason: { code: "VG_DEADLINE_EXCEEDED" } });
  }
  expect(engine.stats().queue.preparing).toBe(1);
  release();
  expect(await first).toMatchObject([{ reason: { code: "VG_IMAGE_INVALID" } }]);
  await engine.close();
});

describe("backpressure", () => {
  test("a call without room is refused as a whole, before any work", async () => {
    const { engine, hold } = await setUp({ limits: { maxQueuedItems: 3, maxQueuedTokens: 200 } });
    const gate = hold();
    const running = await keepBusy(engine);
    const waiting = engine.encode([item(60), item(60)]);
    await settled();
    await expect(engine.encode([item(1), item(1)])).rejects.toThrow(
      expect.objectContaining({
        code: "VG_QUEUE_FULL",
        message:
          "2 items wait, and there is no room for 2 more (the limit is 3): try again later, or raise limits.maxQueuedItems",
      }),
    );
    await expect(engine.encode([item(101)])).rejects.toThrow(
      "120 tokens wait, and there is no room for 101 more (the limit is 200): try again later, or raise limits.maxQueuedTokens",
    );
    expect(engine.stats().queue).toMatchObject({ items: 2, tokens: 120 });
    gate.release();
    expect(codesOf(await waiting)).toEqual([60, 60]);
    await Promise.all(running);
    expect(codesOf(await engine.encode([item(81)]))).toEqual([81]);
    await engine.close();
  });

  test("callers that fill the queue cannot lock out others, and must wait themselves", async () => {
    const { engine, hold } = await setUp({ limits: { maxQueuedItems: 6, maxQueuedTokens: 300 } });
    const gate = hold();
    const running = await keepBusy(engine);
    const flood = (caller: string) => engine.encode([item(50), item(50)], { caller });
    const floods = ["a", "b", "c"].map(flood);
    await settled();
    await expect(flood("a")).rejects.toMatchObject({ code: "VG_QUEUE_FULL" });
    const small = engine.encode([item(1)], { caller: "small" });
    await settled();
    expect(engine.stats().queue).toMatchObject({ items: 7, tokens: 301 });
    gate.release();
    expect(codesOf(await small)).toEqual([1]);
    await Promise.all([...running, ...floods]);
    await engine.close();
  });

  test("the error of a call that can never have room says so", async () => {
    const { engine } = await setUp({ limits: { maxQueuedItems: 3, maxQueuedTokens: 100 } });
    await expect(engine.encode([1, 1, 1, 1].map((tokens) => item(tokens)))).rejects.toThrow(
      "a call of 4 items is more than the engine ever holds (3): send it in parts, or raise limits.maxQueuedItems",
    );
    await expect(engine.encode([item(101)])).rejects.toThrow(
      "a call of 101 tokens is more than the engine ever holds (100)",
    );
    expect(engine.stats().queue).toMatchObject({ items: 0, tokens: 0 });
    await engine.close();
  });
});

describe("encodeEach", () => {
  const outcomesOf = async (each: AsyncIterable<IndexedOutcome>) => {
    const seen: [number, number | string][] = [];
    for await (const { index, outcome } of each) seen.push([index, codesOf([outcome])[0] as number | string]);
    return seen;
  };

  test("yields each outcome as soon as it is ready, and that of a bad item at once", async () => {
    const { engine, hold } = await setUp();
    const gate = hold();
    const running = await keepBusy(engine);
    const each = engine.encodeEach([item(3), { image: new Uint8Array(4) }, item(64)]);
    const { value: first } = await each.next();
    expect(first).toMatchObject({ index: 1, outcome: { reason: { code: "VG_IMAGE_INVALID" } } });
    gate.release();
    const others = await outcomesOf(each);
    expect(others.sort(([a], [b]) => a - b)).toEqual([
      [0, 3],
      [2, 64],
    ]);
    await Promise.all(running);
    await engine.close();
  });

  test("ends at once without items, and throws for a refused call", async () => {
    const { engine } = await setUp();
    expect(await outcomesOf(engine.encodeEach([]))).toEqual([]);
    await expect(engine.encodeEach([item(1)], { priority: Number.NaN }).next()).rejects.toThrow(
      "priority is NaN: give a finite number, lower for sooner",
    );
    await engine.close();
    await expect(engine.encodeEach([item(1)]).next()).rejects.toMatchObject({ code: "VG_CLOSED" });
  });

  test("leaving the loop cancels the remaining items", async () => {
    const { engine, hold, batches } = await setUp();
    const gate = hold();
    const running = await keepBusy(engine);
    for await (const { index } of engine.encodeEach([item(60), { image: new Uint8Array(4) }, item(61)])) {
      expect(index).toBe(1);
      break;
    }
    expect(engine.stats().queue).toMatchObject({ items: 0, tokens: 0 });
    gate.release();
    await Promise.all(running);
    expect(batches).toHaveLength(running.length);
    await engine.close();
  });
});

describe("cancellation", () => {
  test("a cancelled call is answered at once, and releases its reservation", async () => {
    const { engine, hold, batches } = await setUp();
    const gate = hold();
    const running = await keepBusy(engine);
    const controller = new AbortController();
    const left = engine.encode([item(60), item(61)], { signal: controller.signal });
    await settled();
    controller.abort(new Error("no longer wanted"));
    expect(await left).toMatchObject([
      {
        reason: {
          code: "VG_ABORTED",
          message: "the call was cancelled",
          cause: { message: "no longer wanted" },
        },
      },
      { reason: { code: "VG_ABORTED" } },
    ]);
    expect(engine.stats().queue).toMatchObject({ items: 0, tokens: 0 });
    gate.release();
    await Promise.all(running);
    expect(batches).toHaveLength(running.length);
    await engine.close();
  });

  test("a call that is already cancelled or late is refused", async () => {
    const { engine } = await setUp();
    await expect(engine.encode([item(1)], { signal: AbortSignal.abort() })).rejects.toThrow(
      "the call was cancelled",
    );
    const refused = (options: object) => expect(engine.encode([item(1)], options)).rejects;
    await refused({ timeoutMs: -40 }).toThrow(
      "timeoutMs is -40: the call came too late: allow more time, or send less work",
    );
    await refused({ timeoutMs: Number.NaN }).toThrow("timeoutMs is NaN: give milliseconds from now: 500");
    await refused({ priority: Number.NaN }).toThrow(
      "priority is NaN: give a finite number, lower for sooner",
    );
    await refused({ signal: {} }).toThrow("signal is {}: pass the signal of an AbortController");
    await refused({ caller: 7 }).toThrow("caller is 7: give a string that all calls of one caller share");
    await refused({ sginal: AbortSignal.abort() }).toThrow(
      'encode has no option "sginal": did you mean "signal"?',
    );
    await refused({ deadline: 60 }).toThrow(
      'encode has no option "deadline": the options are signal, priority, timeoutMs, caller',
    );
    await expect(engine.getItemSpecs([item(1)], { priorty: 1 } as never)).rejects.toThrow(
      'getItemSpecs has no option "priorty": did you mean "priority"?',
    );
    expect(engine.stats().queue).toMatchObject({ items: 0, tokens: 0 });
    await engine.close();
  });

  test("a Blob that is never read to its end keeps no place, and no engine open", async () => {
    const { engine, clock } = await setUp({ limits: { preprocessConcurrency: 1 } });
    const endless = { size: 10, arrayBuffer: () => new Promise<never>(() => {}) } as unknown as Blob;
    const call = engine.encode([{ image: endless }, { video: endless }], { timeoutMs: 50 });
    await settled();
    await clock.advance(50);
    expect(codesOf(await call)).toEqual(["VG_DEADLINE_EXCEEDED", "VG_DEADLINE_EXCEEDED"]);
    await settled();
    expect(engine.stats().queue.preparing).toBe(0);
    const other = engine.encode([{ image: endless }]);
    await settled();
    await engine.close({ abort: true });
    expect(codesOf(await other)).toEqual(["VG_CLOSED"]);
  });

  test("a call is answered when its time limit passes, and leaves no timer", async () => {
    const { engine, clock, hold } = await setUp();
    const gate = hold();
    const late = engine.encode([item(1)], { timeoutMs: 30 });
    const patient = engine.encode([item(2)], { timeoutMs: 1000 });
    await clock.advance(30);
    expect(await late).toMatchObject([
      {
        reason: {
          code: "VG_DEADLINE_EXCEEDED",
          message: "the call was not done within 30 ms: allow more time, or send less work",
        },
      },
    ]);
    gate.release();
    expect(codesOf(await patient)).toEqual([2]);
    expect(clock.pendingTimers).toBe(0);
    await engine.close();
  });
});

test("a bad item among good ones fails alone", async () => {
  const { engine } = await setUp();
  const outcomes = await engine.encode([
    item(1),
    { ...item(1), grid: { t: 1, h: 3, w: 2 } },
    {} as never,
    null as never,
    { pixel_values: new Float32Array(4 * 24), grid_thw: [1, 2, 2] },
    { pixel_values: new Float32Array(7), grid_thw: [1, 2, 2] },
    { pixel_values: new Float32Array(7) } as never,
    { image: new Uint8Array(8) },
    { frames: [] },
    item(2),
  ]);
  expect(codesOf(outcomes)).toEqual([
    1, "VG_ITEM_INVALID", "VG_ITEM_INVALID", "VG_ITEM_INVALID", 1, "VG_ITEM_INVALID", "VG_ITEM_INVALID",
    "VG_IMAGE_INVALID", "VG_ARGUMENT_INVALID", 2,
  ]); // biome-ignore format: a row
  expect(outcomes[2]).toMatchObject({
    reason: {
      message:
        "an item is {}: pass { image }, { raster }, { frames }, { video }, { pixel_values, grid_thw }, or an EncoderItem with its format",
    },
  });
  expect(engine.stats()).toMatchObject({ failedItems: 7, graphHits: 3 });
  await engine.close();
});

test("getItemSpecs returns sizes without encoding", async () => {
  const { engine, batches } = await setUp();
  const specs = await engine.getItemSpecs([item(6), item(2, 0, 2), {} as never]);
  expect(specs).toMatchObject([
    { value: { inputSize: 24, outputTokens: 6, frames: 1 } },
    { value: { inputSize: 16, outputTokens: 4, frames: 2 } },
    { reason: { code: "VG_ITEM_INVALID" } },
  ]);
  expect(batches).toEqual([]);
  expect(engine.budgetRange()).toEqual({ min: 64, max: 16_384 });
  await engine.close();
});

test("onItemSpecs receives the sizes before any item is encoded, and can reject the call", async () => {
  const { engine, batches } = await setUp();
  const told: unknown[] = [];
  const onItemSpecs = (specs: unknown) => {
    told.push(specs, batches.length);
  };
  const outcomes = await engine.encode([item(6), {} as never], { onItemSpecs });
  expect(told).toMatchObject([[{ value: { outputTokens: 6 } }, { reason: { code: "VG_ITEM_INVALID" } }], 0]);
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  const encoded = batches.length;
  const tooMany = new Error("too many tokens");
  const refuse = () => {
    throw tooMany;
  };
  await expect(engine.encode([item(6)], { onItemSpecs: refuse })).rejects.toBe(tooMany);
  await expect(engine.encodeEach([item(6)], { onItemSpecs: refuse }).next()).rejects.toBe(tooMany);
  await expect(engine.encode([item(6)], { onItemSpecs: 3 as never })).rejects.toThrow("give a function");
  expect(batches).toHaveLength(encoded);
  expect(engine.stats().queue).toMatchObject({ items: 0, tokens: 0 });
  await engine.close();
});

describe("the output cache", () => {
  const cached = { outputCacheBytes: 2 ** 20 };
  const runs = ({ batches }: Bench) => batches.reduce((sum, batch) => sum + batch.items, 0);

  test("answers equal content without another run", async () => {
    const bench = await setUp(cached);
    const { engine } = bench;
    await engine.encode([item(3, 1)]);
    const [again, other] = await engine.encode([item(3, 1), item(3, 2)]);
    expect(codesOf([again!, other!])).toEqual([3, 3]);
    expect(runs(bench)).toBe(2);
    expect(engine.stats().outputCache).toMatchObject({ hits: 1, misses: 2, entries: 2 });
    await engine.close();
  });

  test("separates equal pixels with different grids", async () => {
    const bench = await setUp(cached);
    const tall = { ...item(4, 1), grid: { t: 1, h: 4, w: 4 } };
    await bench.engine.encode([item(4, 1), tall]);
    expect(runs(bench)).toBe(2);
    await bench.engine.close();
  });

  test("computes equal concurrent items once, even if one of their callers leaves", async () => {
    const bench = await setUp(cached);
    const { engine, hold } = bench;
    const gate = hold();
    const controller = new AbortController();
    // Keys are hashed on other threads, so waiting for event loop turns is not enough.
    const cacheHas = (figures: object) =>
      expect.poll(() => engine.stats().outputCache).toMatchObject(figures);
    const first = engine.encode([item(3, 1)], { signal: controller.signal });
    await cacheHas({ misses: 1 });
    const second = engine.encode([item(3, 1)]);
    await cacheHas({ joined: 1 });
    controller.abort();
    expect(codesOf(await first)).toEqual(["VG_ABORTED"]);
    gate.release();
    expect(codesOf(await second)).toEqual([3]);
    expect(runs(bench)).toBe(1);
    expect(engine.stats().queue).toEqual({ items: 0, tokens: 0, preparing: 0, batchesInFlight: 0 });
    await engine.close();
  });

  test("uses a uuid with the grid as the key, and still refuses an invalid item", async () => {
    const bench = await setUp(cached);
    const { engine } = bench;
    const settledFrom: string[] = [];
    engine.subscribe({ itemSettled: ({ source }) => settledFrom.push(source) });
    await engine.encode([{ ...item(3, 1), uuid: "a" }]);
    const outcomes = await engine.encode([
      { ...item(3, 2), uuid: "a" },
      { ...item(4, 2), uuid: "a" },
      { image: new Uint8Array(1), uuid: "a" },
      { uuid: "a" } as never,
      { ...item(3, 1), uuid: "" },
    ]);
    expect(codesOf(outcomes)).toEqual([3, 4, "VG_IMAGE_INVALID", "VG_ITEM_INVALID", "VG_ARGUMENT_INVALID"]);
    expect(settledFrom.sort()).toEqual(["device", "device", "output_cache", "refused", "refused", "refused"]);
    expect(runs(bench)).toBe(2);
    await engine.close();
  });

  test("computes concurrent items with one uuid once", async () => {
    const bench = await setUp(cached);
    const items = [1, 2, 3].map((value) => ({ ...item(3, value), uuid: "same" }));
    expect(codesOf(await bench.engine.encode(items))).toEqual([3, 3, 3]);
    expect(runs(bench)).toBe(1);
    await bench.engine.close();
  });

  test("does not cache a failure", async () => {
    let failing = true;
    const { engine, clock } = await setUp({
      ...cached,
      respond: () => {
        if (failing) throw new Error("Xid 79");
      },
    });
    expect(codesOf(await engine.encode([item(3, 1)]))).toEqual(["VG_DEVICE_FAILED"]);
    failing = false;
    const again = engine.encode([item(3, 1)]);
    await clock.advance(200);
    expect(codesOf(await again)).toEqual([3]);
    await engine.close();
  });
});

describe("several devices", () => {
  test("share a burst by FLOPs, and results are in order", async () => {
    const { engine, batches, hold } = await setUp({ count: 3 });
    const gate = hold();
    const sizes = [10, 12, 30, 11, 9, 30];
    const call = engine.encode(sizes.map((tokens) => item(tokens)));
    await settled();
    gate.release();
    expect(codesOf(await call)).toEqual(sizes);
    expect(batches.map(({ device, tokens }) => [device, tokens]).sort()).toEqual([
      [0, 42],
      [1, 30],
      [2, 30],
    ]);
    await engine.close();
  });

  test("a batch goes to the device that finishes it first", async () => {
    const { engine, batches, hold } = await setUp({ count: 2, costs: (tokens) => tokens / 100 });
    const gate = hold();
    const calls: Promise<unknown>[] = [];
    for (const tokens of [60, 10, 12, 13, 50, 40]) {
      calls.push(engine.encode([item(tokens)]));
      await settled();
    }
    gate.release();
    await Promise.all(calls);
    const byDevice = [0, 1].map((device) =>
      batches.filter((batch) => batch.device === device).map((b) => b.tokens),
    );
    expect(byDevice).toEqual([
      [60, 40],
      [10, 12, 13, 50],
    ]);
    await engine.close();
  });

  test("statistics are available even if a device cannot report its memory", async () => {
    const { engine, devices } = await setUp();
    const [device] = devices as [NullDevice];
    expect(engine.stats().devices[0]?.memory).toEqual(device.memory());
    vi.spyOn(device, "memory").mockImplementation(() => {
      throw new VitgraphError("VG_DEVICE_FAILED", "cannot ask for the device's memory");
    });
    expect(engine.stats().devices).toMatchObject([{ state: "up", memory: null }]);
    await engine.close();
    expect(engine.stats().devices[0]?.memory).toBeNull();
  });

  test("one that fails recovers, and the others continue to serve", async () => {
    let broken = true;
    const { engine, clock, changes, batches } = await setUp({
      count: 2,
      respond: (device) => {
        if (device === 0 && broken) throw new Error("Xid 79");
      },
    });
    const outcomes = await engine.encode([item(60), item(59)]);
    expect(codesOf(outcomes).sort()).toEqual([59, "VG_DEVICE_FAILED"]);
    expect(outcomes.find(({ status }) => status === "rejected")).toMatchObject({
      reason: { message: "the batch failed on the device (Xid 79)", cause: { message: "Xid 79" } },
    });
    expect(engine.stats().devices).toMatchObject([
      { state: "recovering", error: "the batch failed on the device (Xid 79)", batches: 0, memory: null },
      { state: "up", batches: 1, memory: { totalBytes: Number.POSITIVE_INFINITY } },
    ]);
    expect(codesOf(await engine.encode([item(5), item(60)]))).toEqual([5, 60]);
    broken = false;
    await clock.advance(100);
    // A recovering device reads files, which the virtual clock does not wait for.
    await expect.poll(() => engine.stats().devices[0]).toMatchObject({ state: "up" });
    expect(changes).toEqual(["loading", "warming", "ready", "device 0 recovering", "device 0 up"]);
    expect(codesOf(await engine.encode([item(60), item(59)]))).toEqual([60, 59]);
    expect(new Set(batches.slice(-2).map(({ device }) => device))).toEqual(new Set([0, 1]));
    await engine.close();
  });

  test("exportMemory uses the device on the given GPU, while it is up", async () => {
    let broken = false;
    const { engine, devices } = await setUp({
      count: 2,
      respond: () => {
        if (broken) throw new Error("Xid 79");
      },
    });
    const made = devices.map((device, index) => {
      vi.spyOn(device, "info", "get").mockReturnValue({
        ...device.info,
        facts: { pciBusId: `0000:0A:0${index}.0` },
      });
      return vi.spyOn(device, "exportMemory");
    });
    expect(engine.exportMemory("0000:0a:01.0", 1024)).toBeNull();
    expect(made.map(({ mock }) => mock.calls)).toEqual([[], [[1024]]]);
    expect(engine.exportMemory("0000:0a:02.0", 1024)).toBeNull();
    broken = true;
    await engine.encode([item(60), item(59)]);
    expect(engine.exportMemory("0000:0a:01.0", 1024)).toBeNull();
    expect(made.map(({ mock }) => mock.calls)).toEqual([[], [[1024]]]);
    await engine.close({ abort: true });
  });

  test("must all open when the engine is created; otherwise the opened ones are closed", async () => {
    const made: NullDevice[] = [];
    const devices = [
      () => {
        made.push(createNullDevice());
        return made[0] as Device;
      },
      () => {
        throw new VitgraphError("VG_BACKEND_UNAVAILABLE", "there is no GPU 1");
      },
    ];
    await expect(EncoderEngine.create({ model, devices })).rejects.toThrow("there is no GPU 1");
    expect(made[0]?.liveHandles()).toBe(0);
    expect(() => made[0]?.allocate(1)).toThrow("a device was used after it had been disposed");
  });

  test("must compute in one dtype", async () => {
    const devices = [() => createNullDevice(), () => createNullDevice({ activationDType: "bf16" })];
    await expect(EncoderEngine.create({ model, devices })).rejects.toThrow(
      "device 0 computes in f32, and device 1 in bf16: give one engine devices of one kind",
    );
  });
});

describe("a device that fails", () => {
  test("fails its batches in flight, keeps waiting items queued, and continues after recovery", async () => {
    let broken = true;
    const { engine, clock, hold, devices } = await setUp({
      respond: () => {
        if (broken) throw new Error("Xid 79");
      },
    });
    const gate = hold();
    const inFlight = await keepBusy(engine);
    const waiting = engine.encode([item(62)]);
    await settled();
    gate.release();
    const failed = (await Promise.all(inFlight)).flatMap(codesOf);
    expect(failed).toEqual(inFlight.map(() => "VG_DEVICE_FAILED"));
    const during = engine.encode([item(5)]);
    await settled();
    expect(engine.stats()).toMatchObject({ state: "ready", queue: { items: 2, batchesInFlight: 0 } });
    broken = false;
    await clock.advance(100);
    expect((await Promise.all([waiting, during])).map(codesOf)).toEqual([[62], [5]]);
    expect(devices).toHaveLength(2);
    expect(devices[0]?.liveHandles()).toBe(0);
    await engine.close();
    expect(devices[1]?.liveHandles()).toBe(0);
  });

  test("is abandoned after a few attempts; all calls are then refused with the cause", async () => {
    const { engine, clock, changes } = await setUp({
      respond: () => {
        throw new Error("Xid 79");
      },
      make: (_, made) => {
        if (made > 0) throw new VitgraphError("VG_BACKEND_UNAVAILABLE", "the GPU has fallen off the bus");
        return undefined;
      },
    });
    expect(codesOf(await engine.encode([item(5)]))).toEqual(["VG_DEVICE_FAILED"]);
    const waiting = engine.encode([item(6)]);
    await clock.advance(11_100);
    const message =
      "the engine has no device left: device 0 (null device): the GPU has fallen off the bus: close it, see " +
      "`vitgraph doctor`, and create a new one when the devices work again";
    expect(await waiting).toMatchObject([{ reason: { code: "VG_DEVICE_FAILED", message } }]);
    await expect(engine.encode([item(5)])).rejects.toThrow(message);
    expect(changes).toEqual([
      "loading",
      "warming",
      "ready",
      "device 0 recovering",
      "device 0 down",
      "failed",
    ]);
    await engine.close();
    expect(engine.state).toBe("closed");
  });

  test("is abandoned if it fails again after each recovery", async () => {
    const { engine, clock, devices } = await setUp({
      respond: () => {
        throw new Error("Xid 79");
      },
    });
    const codes: unknown[] = [];
    for (let call = 0; call < 4; call++) {
      const outcome = engine.encode([item(5)]);
      await clock.advance(20_000);
      codes.push(...codesOf(await outcome));
    }
    expect(codes).toEqual(new Array(4).fill("VG_DEVICE_FAILED"));
    expect(engine.state).toBe("failed");
    expect(devices).toHaveLength(4);
    expect(devices.map((device) => device.liveHandles())).toEqual([0, 0, 0, 0]);
    await engine.close();
  });

  test("is noticed although an item of its batch was refused", async () => {
    let runs = 0;
    const { engine, clock, changes, hold } = await setUp({
      packing: "greedy",
      respond: (_, { outputs }) => {
        // Fills of the grid cache have no outputs.
        runs += outputs.length;
        if (runs > BATCHES_IN_FLIGHT) throw new Error("Xid 79");
      },
    });
    const { release } = hold();
    const busy = await keepBusy(engine);
    const taken = item(3);
    const call = engine.encode([taken, item(4)]);
    await settled();
    structuredClone(taken.pixels, { transfer: [taken.pixels.buffer as ArrayBuffer] });
    release();
    await Promise.all(busy);
    expect(codesOf(await call)).toEqual(["VG_ITEM_INVALID", "VG_DEVICE_FAILED"]);
    expect(changes.at(-1)).toBe("device 0 recovering");
    expect(engine.stats().devices[0]).toMatchObject({ batches: BATCHES_IN_FLIGHT });
    await engine.close();
    expect(clock.pendingTimers).toBe(0);
  });

  test("stops its recovery timer when the engine closes", async () => {
    const { engine, clock } = await setUp({
      respond: () => {
        throw new Error("Xid 79");
      },
    });
    await engine.encode([item(5)]);
    await engine.close();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("lifecycle", () => {
  test("close finishes accepted work, refuses new work, and releases all resources", async () => {
    const { engine, hold, devices, changes } = await setUp({ batchWindowMs: 1000 });
    const gate = hold();
    const call = engine.encode([item(5)]);
    await settled();
    const closing = engine.close();
    expect(engine.state).toBe("draining");
    await expect(engine.encode([item(5)])).rejects.toThrow(
      expect.objectContaining({
        code: "VG_CLOSED",
        message: "the engine is closed: send the call to one that is open",
      }),
    );
    gate.release();
    // close does not wait for the end of the batch window.
    expect(codesOf(await call)).toEqual([5]);
    await closing;
    expect(changes).toEqual(["loading", "warming", "ready", "draining", "closed"]);
    expect(devices[0]?.liveHandles()).toBe(0);
    expect(() => devices[0]?.allocate(1)).toThrow("a device was used after it had been disposed");
    await engine.close();
  });

  test("close can abort accepted work", async () => {
    const { engine, hold, devices } = await setUp();
    const gate = hold();
    const calls = [engine.encode([item(64)]), settled().then(() => engine.encode([item(64)]))];
    await settled();
    const waiting = engine.encode([item(64)]);
    await settled();
    const closing = engine.close({ abort: true });
    expect((await Promise.all([...calls, waiting])).map(codesOf)).toEqual([
      ["VG_CLOSED"],
      ["VG_CLOSED"],
      ["VG_CLOSED"],
    ]);
    gate.release();
    await closing;
    expect(devices[0]?.liveHandles()).toBe(0);
  });

  test("drain resolves when all earlier calls are answered, and new calls are accepted meanwhile", async () => {
    const { engine, hold } = await setUp();
    const gate = hold();
    const call = engine.encode([item(5)]);
    await settled();
    let drained = false;
    const draining = engine.drain().then(() => {
      drained = true;
    });
    await settled();
    expect(drained).toBe(false);
    expect(engine.state).toBe("ready");
    gate.release();
    await draining;
    expect(codesOf(await call)).toEqual([5]);
    expect(codesOf(await engine.encode([item(6)]))).toEqual([6]);
    await engine.close();
  });

  test("an engine that opened its model closes it; a directory is enough", async () => {
    const devices = [createNullDevice()];
    await using engine = await EncoderEngine.create({
      model: directory,
      devices: [() => devices[0] as Device],
    });
    expect(codesOf(await engine.encode([item(5)]))).toEqual([5]);
    await engine.close();
    await expect(
      engine.model.weights.values().next().value!.readSlice(0, new Uint8Array(1)),
    ).rejects.toThrow();
  });

  test("an engine whose model can't be closed is closed, and close tells why", async () => {
    const device = createNullDevice();
    const engine = await EncoderEngine.create({ model: directory, devices: [() => device] });
    const dispose = engine.model[Symbol.asyncDispose];
    Object.assign(engine.model, {
      [Symbol.asyncDispose]: async () => {
        await dispose();
        throw new Error("EIO");
      },
    });
    await expect(engine.close()).rejects.toThrow("EIO");
    expect(engine.state).toBe("closed");
    expect(device.liveHandles()).toBe(0);
    await expect(engine.close()).rejects.toThrow("EIO");
    await expect(engine.encode([item(5)])).rejects.toMatchObject({ code: "VG_CLOSED" });
  });

  test("a hundred engines in one process release all resources", async () => {
    for (let round = 0; round < 100; round++) {
      const { engine, devices, clock } = await setUp({ count: 2, outputCacheBytes: 2 ** 20 });
      await Promise.all([engine.encode([item(5, round)]), engine.encode([item(7, round), item(2)])]);
      await engine.close();
      expect(devices.map((device) => device.liveHandles())).toEqual([0, 0]);
      expect(clock.pendingTimers).toBe(0);
    }
  });

  test("an observer that throws is reported, without effect on calls", async () => {
    const warnings: string[] = [];
    const listen = (warning: Error) => warnings.push(warning.message);
    process.on("warning", listen);
    const { engine } = await setUp();
    const unsubscribe = engine.subscribe({
      batchStarted: () => {
        throw new Error("of no use");
      },
    });
    expect(codesOf(await engine.encode([item(5)]))).toEqual([5]);
    await settled();
    expect(warnings).toEqual(["an observer of the encoder engine threw: Error: of no use"]);
    unsubscribe();
    process.off("warning", listen);
    await engine.close();
  });
});

test.each([
  [{ devices: [] }, '"devices" is an empty list, and must be a list, not empty, of options for createDevice'],
  [{ packing: "best" }, '"packing" is "best", and must be one of cost, greedy, first-fit'],
  [{ costs: "guess" }, '"costs" is "guess", and must be one of auto, measure, estimate, or a function'],
  [{ batchWindowMs: -1 }, '"batchWindowMs" is -1, and must be a number of milliseconds, 0 for no window'],
  [{ outputCacheBytes: Number.NaN }, '"outputCacheBytes" is NaN, and must be a number of bytes, 0 for none'],
  [
    { limits: { preprocessConcurrency: 0 } },
    '"limits.preprocessConcurrency" is 0, and must be a positive whole number',
  ],
  [{ batchWindow: 3 }, '"batchWindow" is unknown: did you mean "batchWindowMs"?'],
  [
    { limits: { maxQueuedItem: 3 } },
    '"limits.maxQueuedItem" is unknown: did you mean "limits.maxQueuedItems"?',
  ],
  [
    { cudagraph_mm_encoder: true },
    '"cudagraph_mm_encoder" is a key of the compilation config, which is the option compilationConfig',
  ],
  [{ outputCache: new Map() }, '"outputCache" is an object of type Map, and must be an OutputCache'],
])("refuses %o", async (options, message) => {
  await expect(EncoderEngine.create({ model, ...(options as object) })).rejects.toThrow(
    expect.objectContaining({
      code: "VG_ARGUMENT_INVALID",
      message: expect.stringContaining(`the options of EncoderEngine.create are invalid: ${message}`),
    }),
  );
});

test.each([undefined, null, {}, "path", { model: 7 }])("needs a model: %o has none", async (options) => {
  await expect(EncoderEngine.create(options as never)).rejects.toMatchObject({ code: "VG_ARGUMENT_INVALID" });
});

test("an unknown option of a device is an error too", async () => {
  await expect(EncoderEngine.create({ model, devices: [{ backnd: "cpu" } as never] })).rejects.toThrow(
    'createDevice has no option "backnd": did you mean "backend"?',
  );
});
