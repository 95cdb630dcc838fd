/**
 * Random calls with cancellations, deadlines, priorities, bad items, memory that is transferred while an item waits, and
 * listeners and observers that throw, on devices that fail and may recover, over a virtual clock: every item is answered
 * exactly once, and all resources are released.
 */
import { createNullDevice, type NullDevice } from "@vitgraph/cuda-kernels/testing";
import { VitgraphError } from "@vitgraph/errors";
import { VirtualClock } from "@vitgraph/scheduler/testing";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { PixelItem } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import type { EngineObserver } from "../observability/observer.js";
import type { Embedding } from "../runtime/embedding.js";
import { type MiniatureModel, openMiniatureModel } from "../testing/miniature-model.js";
import { EncoderEngine } from "./encoder-engine.js";

let miniature: MiniatureModel;
let model: LoadedModel;
beforeAll(async () => {
  miniature = await openMiniatureModel();
  model = miniature.model;
  // Of the observer that throws.
  vi.spyOn(process, "emitWarning").mockReturnValue();
});
afterAll(() => {
  vi.restoreAllMocks();
  return miniature[Symbol.asyncDispose]();
});

interface ItemPlan {
  readonly tokens: number;
  /** Identifies the content. Few values, so that many items are equal. */
  readonly value: number;
  readonly uuid: string | undefined;
  readonly bad: boolean;
}

interface CallPlan {
  readonly atMs: number;
  readonly items: readonly ItemPlan[];
  readonly priority: number;
  readonly caller: string | undefined;
  /** Time of the cancellation after the call; undefined for none. */
  readonly cancelMs: number | undefined;
  readonly deadlineMs: number | undefined;
  /** After the call came: the memory of its items goes to another thread. */
  readonly transferMs: number | undefined;
  readonly method: "encode" | "encodeEach" | "getItemSpecs";
  /** Outcomes after which a reader of `encodeEach` leaves. */
  readonly reads: number;
  readonly listenerThrows: boolean;
}

const itemPlan: fc.Arbitrary<ItemPlan> = fc.record({
  tokens: fc.integer({ min: 1, max: 80 }),
  value: fc.integer({ min: 0, max: 2 }),
  uuid: fc.option(fc.constantFrom("a", "b"), { nil: undefined, freq: 4 }),
  bad: fc.boolean(),
});

const callPlan: fc.Arbitrary<CallPlan> = fc.record({
  atMs: fc.integer({ min: 0, max: 200 }),
  items: fc.array(itemPlan, { maxLength: 4 }),
  priority: fc.integer({ min: -1, max: 1 }),
  caller: fc.option(fc.constantFrom("x", "y"), { nil: undefined }),
  cancelMs: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined, freq: 3 }),
  deadlineMs: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined, freq: 3 }),
  transferMs: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined, freq: 3 }),
  method: fc.constantFrom("encode", "encode", "encodeEach", "getItemSpecs"),
  reads: fc.integer({ min: 0, max: 4 }),
  listenerThrows: fc.constantFrom(false, false, false, true),
});

const plan = fc.record({
  calls: fc.array(callPlan, { minLength: 1, maxLength: 12 }),
  devices: fc.integer({ min: 1, max: 3 }),
  runMs: fc.integer({ min: 1, max: 40 }),
  /** Every n-th run fails; 0: none. */
  failEvery: fc.constantFrom(0, 0, 3, 7),
  /** After the first, every n-th attempt to open a device fails; 0: none. */
  openingFailsEvery: fc.constantFrom(0, 1, 2),
  outputCacheBytes: fc.constantFrom(0, 2000, 2 ** 20),
  batchWindowMs: fc.constantFrom(0, 5),
  maxQueuedItems: fc.constantFrom(3, 1000),
  maxItems: fc.constantFrom(0, 1, 8),
  packing: fc.constantFrom("cost", "greedy", "first-fit"),
  abort: fc.boolean(),
  closeMs: fc.integer({ min: 0, max: 200 }),
});

function itemOf({ tokens, value, uuid, bad }: ItemPlan): PixelItem & { readonly uuid?: string } {
  const rows = 4 * tokens + (bad && value === 0 ? 1 : 0);
  const item = {
    format: "u8_still",
    grid: { t: 1, h: 2, w: 2 * tokens },
    pixels: new Uint8Array(rows * 12).fill(value),
  } as const;
  return uuid === undefined ? item : { ...item, uuid };
}

const EXPECTED_CODES = new Set([
  "VG_ABORTED",
  "VG_DEADLINE_EXCEEDED",
  "VG_DEVICE_FAILED",
  "VG_ITEM_INVALID",
  "VG_QUEUE_FULL",
  "VG_ARGUMENT_INVALID",
  "VG_CLOSED",
]);

const refuse = () => {
  throw new VitgraphError("VG_ARGUMENT_INVALID", "too large for this caller");
};

/** Throws on every event. The engine reports the first. */
const BROKEN_OBSERVER: EngineObserver = new Proxy(
  {},
  {
    get: () => () => {
      throw new Error("of no use");
    },
  },
);

/** Far above the real duration. A recovering device reads files, which the virtual clock does not wait for. */
const PATIENCE_MS = 120_000;

async function pass(clock: VirtualClock, done: () => boolean, engine: EncoderEngine): Promise<void> {
  const startedAt = performance.now();
  while (!done()) {
    await clock.advance(50);
    if (done()) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (performance.now() - startedAt < PATIENCE_MS) continue;
    throw new Error(`something does not end: ${JSON.stringify(engine.stats())}`);
  }
}

test("every item is answered once, and all resources are released", async () => {
  await fc.assert(
    fc.asyncProperty(
      plan,
      async ({
        calls,
        devices: count,
        runMs,
        failEvery,
        openingFailsEvery,
        maxQueuedItems,
        maxItems,
        abort,
        closeMs,
        ...options
      }) => {
        const clock = new VirtualClock();
        const devices: NullDevice[] = [];
        let runs = 0;
        let openings = 0;
        const settled = { arrived: 0, fulfilled: 0, rejected: 0 };
        const engine = await EncoderEngine.create({
          model,
          clock,
          ...options,
          limits: { maxQueuedItems },
          compilationConfig: {
            cudagraph_mm_encoder: true,
            encoder_cudagraph_token_budgets: [16, 64],
            encoder_cudagraph_max_vision_items_per_batch: maxItems,
          },
          devices: Array.from({ length: count }, () => () => {
            openings += 1;
            if (openings > count && openingFailsEvery > 0 && openings % openingFailsEvery === 0)
              throw new Error("the device is gone");
            const device = createNullDevice({
              respond: async () => {
                runs += 1;
                const fails = failEvery > 0 && runs % failEvery === 0;
                await clock.sleep(runMs);
                if (fails) throw new Error("Xid 79");
              },
            });
            devices.push(device);
            return device;
          }),
          observers: [
            {
              itemsArrived: (items) => {
                settled.arrived += items;
              },
              itemSettled: ({ outcome }) => {
                settled[outcome] += 1;
              },
            },
            BROKEN_OBSERVER,
          ],
        });
        const check = (outcome: PromiseSettledResult<Embedding>, item: ItemPlan) => {
          if (outcome.status === "fulfilled") expect(outcome.value.tokens).toBe(item.tokens);
          else expect(EXPECTED_CODES).toContain(outcome.reason.code);
        };
        const answered = calls.map(async (call) => {
          const { atMs, priority, caller, cancelMs, deadlineMs, transferMs, method, reads, listenerThrows } =
            call;
          await clock.sleep(atMs);
          const items = call.items.map(itemOf);
          const controller = new AbortController();
          const stopCancelling =
            cancelMs === undefined ? () => {} : clock.after(cancelMs, () => controller.abort());
          const stopTransferring =
            transferMs === undefined
              ? () => {}
              : clock.after(transferMs, () => {
                  structuredClone(items, {
                    transfer: items.map(({ pixels }) => pixels.buffer as ArrayBuffer),
                  });
                });
          try {
            const options = {
              signal: controller.signal,
              priority,
              ...(deadlineMs === undefined ? {} : { timeoutMs: deadlineMs }),
              ...(caller === undefined ? {} : { caller }),
              ...(listenerThrows ? { onItemSpecs: refuse } : {}),
            };
            if (method === "getItemSpecs") {
              expect(await engine.getItemSpecs(items, options)).toHaveLength(items.length);
            } else if (method === "encode") {
              const outcomes = await engine.encode(items, options);
              expect(outcomes).toHaveLength(items.length);
              for (const [at, outcome] of outcomes.entries()) check(outcome, call.items[at] as ItemPlan);
            } else {
              const seen = new Set<number>();
              for await (const { index, outcome } of engine.encodeEach(items, options)) {
                check(outcome, call.items[index] as ItemPlan);
                expect(seen).not.toContain(index);
                if (seen.add(index).size >= reads) break;
              }
            }
          } catch (error) {
            if (!VitgraphError.is(error)) throw error;
            expect(EXPECTED_CODES).toContain(error.code);
          } finally {
            stopCancelling();
            stopTransferring();
          }
        });
        let ended = false;
        const end = Promise.all(answered).finally(() => {
          ended = true;
        });
        end.catch(() => {});
        const stopClosing = abort ? clock.after(closeMs, () => void engine.close({ abort: true })) : () => {};
        await pass(clock, () => ended, engine);
        await end;
        stopClosing();
        let closed = false;
        const closing = engine.close().then(() => {
          closed = true;
        });
        await pass(clock, () => closed, engine);
        await closing;
        expect(engine.state).toBe("closed");
        expect(engine.stats().queue).toEqual({ items: 0, tokens: 0, preparing: 0, batchesInFlight: 0 });
        expect(settled.fulfilled + settled.rejected).toBe(settled.arrived);
        expect(devices.map((device) => device.liveHandles())).toEqual(devices.map(() => 0));
        expect(clock.pendingTimers).toBe(0);
      },
    ),
    { numRuns: 60 },
  );
});
