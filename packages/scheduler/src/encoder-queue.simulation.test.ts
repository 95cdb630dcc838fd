/** The queue under thousands of random arrivals, on a virtual clock: the same every time, for each seed. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  budgetTokensOf,
  createCostPacker,
  EncoderQueue,
  type ItemSpec,
  type Packable,
  type PackItems,
  packFirstFitDecreasing,
  packGreedyAscending,
} from "./index.js";
import { seededRandom } from "./seeded-random.js";
import { VirtualClock } from "./testing.js";

interface Job {
  readonly id: number;
  readonly spec: ItemSpec;
  readonly priority: number;
  readonly arrivedAt: number;
}

const ARRIVALS = 2000;
const BUDGETS = [64, 256, 1024];
const AGING_MS = 40;
const LIMITS = { tokenBudgets: BUDGETS, maxItems: 6, maxFrames: 12 };
const packers: Readonly<Record<string, PackItems>> = {
  packGreedyAscending: (items) => packGreedyAscending(items, LIMITS),
  packFirstFitDecreasing: (items) => packFirstFitDecreasing(items, LIMITS),
  createCostPacker: createCostPacker(LIMITS, (tokens, budget) => 30 + (budget ?? 2 * tokens)),
};

/**
 * Runs `count` arrivals through a queue whose device serves a batch in 2 ms and 10 µs a token. Some callers cancel,
 * some items fail, some batches fail.
 */
async function simulate(seed: number, count: number, pack: PackItems) {
  const random = seededRandom(seed);
  const clock = new VirtualClock();
  const starts: { at: number; jobs: Job[] }[] = [];
  const answers = new Map<number, string[]>();
  let inFlight = 0;
  let mostInFlight = 0;

  const queue = new EncoderQueue<Job, number>({
    limits: LIMITS,
    pack,
    clock,
    maxInFlight: 2,
    agingMs: AGING_MS,
    run: async (batch) => {
      const jobs = batch.items.map(({ item }) => item);
      starts.push({ at: clock.now(), jobs });
      mostInFlight = Math.max(mostInFlight, ++inFlight);
      await clock.sleep(2 + batch.tokens / 100);
      inFlight--;
      if (random() < 0.02) throw new Error("batch failed");
      return jobs.map(({ id }) =>
        id % 53 === 0
          ? { status: "rejected", reason: new Error("item failed") }
          : { status: "fulfilled", value: id },
      );
    },
  });

  const answer = (id: number, text: string): void => {
    answers.set(id, [...(answers.get(id) ?? []), text]);
  };
  for (let id = 0; id < count; id++) {
    const outputTokens = random() < 0.1 ? 900 + Math.floor(random() * 400) : 20 + Math.floor(random() * 300);
    // Some items have fewer rows than their patches stand for.
    const perRow = random() < 0.1 ? 4 : 1;
    const frames = random() < 0.1 ? 8 : 1;
    const budgetTokens = perRow * outputTokens;
    const spec = { inputSize: 4 * budgetTokens, outputTokens, frames, ...(perRow > 1 && { budgetTokens }) };
    const job = { id, spec, priority: Math.floor(random() * 3) - 1, arrivedAt: clock.now() };
    const caller = new AbortController();
    const cancelAfterMs = random() < 0.1 ? random() * 20 : undefined;
    queue
      .submit(job, {
        priority: job.priority,
        caller: id % 7,
        windowMs: 3,
        signal: caller.signal,
      })
      .then(
        (result) => answer(id, result === id ? "its own result" : `the result of ${result}`),
        (error) => answer(id, (error as Error).message),
      );
    if (cancelAfterMs !== undefined) clock.after(cancelAfterMs, () => caller.abort(new Error("cancelled")));
    // Bursts and lulls, and more at times than the device can do.
    if (random() < 0.5) await clock.advance(random() * 4.5);
  }
  const drained = queue.drain();
  await clock.runAll();
  await drained;
  return { answers, starts, mostInFlight, queue, clock };
}

describe.each(Object.keys(packers))("EncoderQueue over thousands of random arrivals, %s", (name) => {
  const runs: Awaited<ReturnType<typeof simulate>>[] = [];
  beforeAll(async () => {
    for (const seed of [1, 2]) runs.push(await simulate(seed, ARRIVALS, packers[name]!));
  }, 60_000);

  it("answers every item exactly once, with its own result", () => {
    for (const { answers } of runs) {
      expect(answers.size).toBe(ARRIVALS);
      const seen = new Map<string, number>();
      for (const texts of answers.values()) {
        expect(texts).toHaveLength(1);
        seen.set(texts[0]!, (seen.get(texts[0]!) ?? 0) + 1);
      }
      expect([...seen.keys()].sort()).toEqual(["batch failed", "cancelled", "item failed", "its own result"]);
      expect(seen.get("its own result")).toBeGreaterThan(ARRIVALS / 2);
    }
  });

  it("runs no item twice, and keeps every limit", () => {
    for (const { starts, mostInFlight } of runs) {
      const ran = starts.flatMap(({ jobs }) => jobs.map(({ id }) => id));
      expect(new Set(ran).size).toBe(ran.length);
      expect(mostInFlight).toBe(2);
      for (const { jobs } of starts) {
        const tokens = jobs.reduce((sum, { spec }) => sum + budgetTokensOf(spec), 0);
        const frames = jobs.reduce((sum, { spec }) => sum + (spec.frames ?? 1), 0);
        expect(jobs.length).toBeLessThanOrEqual(6);
        if (jobs.length > 1) expect([tokens <= 1024, frames <= 12]).toEqual([true, true]);
      }
    }
  });

  it("leaves nothing behind", () => {
    for (const { queue, clock } of runs) {
      expect([queue.size, queue.batchesInFlight, clock.pendingTimers]).toEqual([0, 0, 0]);
    }
  });

  it("does the same again for the same seed", async () => {
    const again = await simulate(1, ARRIVALS, packers[name]!);
    expect(again.starts).toEqual(runs[0]!.starts);
    expect([...again.answers]).toEqual([...runs[0]!.answers]);
  });
});

describe("EncoderQueue under overload", () => {
  it.each([
    ["one large item among small ones", 1000, () => 20],
    ["one small item among large ones", 20, () => 1000],
    ["one eager item among small ones", 3000, (random: () => number) => 20 + Math.floor(random() * 200)],
  ] as const)("serves %s within its turn", async (_, ownTokens, othersTokens) => {
    const random = seededRandom(9);
    const clock = new VirtualClock();
    const order: string[][] = [];
    const limits = { tokenBudgets: BUDGETS, maxItems: 4 };
    const queue = new EncoderQueue<Packable & { readonly name: string }, string>({
      limits,
      pack: (items) => packGreedyAscending(items, limits),
      clock,
      maxInFlight: 1,
      agingMs: 1000,
      run: async ({ items }) => {
        order.push(items.map(({ item }) => item.name));
        await clock.sleep(10);
        return items.map(({ item }) => ({ status: "fulfilled", value: item.name }));
      },
    });
    const { signal } = new AbortController();
    const submit = (name: string, outputTokens: number): void => {
      const spec = { inputSize: 4 * outputTokens, outputTokens };
      void queue.submit({ name, spec }, { priority: 0, caller: Symbol(), windowMs: 0, signal });
    };
    for (let i = 0; i < 20; i++) submit("before", othersTokens(random));
    submit("own", ownTokens);
    for (let i = 0; i < 300; i++) {
      for (let k = 0; k < 2; k++) submit("after", othersTokens(random));
      await clock.advance(1);
    }
    await clock.runAll();
    const batchesBefore = order.findIndex((names) => names.includes("own"));
    expect(batchesBefore).toBeGreaterThanOrEqual(0);
    expect(batchesBefore).toBeLessThanOrEqual(20);
  });
});
