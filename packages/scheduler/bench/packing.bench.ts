/** How long packing takes: `pnpm --filter @vitgraph/scheduler bench`. The mean is what to read. */
import { bench, describe } from "vitest";
import {
  assignRanks,
  commonSizes,
  createCostPacker,
  EncoderQueue,
  type Packable,
  packByCost,
  packFirstFitDecreasing,
  packGreedyAscending,
  planBudgets,
  powerOfTwoBudgets,
  systemClock,
} from "../src/index.js";
import { seededRandom } from "../src/seeded-random.js";
import { commonItems } from "./workloads.js";

const limits = { tokenBudgets: powerOfTwoBudgets(64, 16_384), maxItems: 64 };
const cost = (_tokens: number, budget: number | null): number => (budget === null ? 1e9 : 100 + budget);
const thousand = commonItems(1000, seededRandom(1));
const batchesOf64 = Array.from({ length: 50 }, (_, seed) => commonItems(64, seededRandom(seed)));
const batchesOf12 = Array.from({ length: 50 }, (_, seed) => distinctItems(12, seededRandom(seed)));

describe("1000 items", () => {
  bench("packGreedyAscending", () => {
    packGreedyAscending(thousand, limits);
  });
  bench("packFirstFitDecreasing", () => {
    packFirstFitDecreasing(thousand, limits);
  });
  bench("assignRanks, 8 ranks", () => {
    assignRanks(
      thousand.map(({ spec }) => spec.inputSize),
      8,
    );
  });
});

describe("by cost", () => {
  const pack = createCostPacker(limits, cost);
  let next = 0;
  bench("64 items, prepared", () => {
    pack(batchesOf64[next++ % 50]!);
  });
  bench("64 items, prepared, 8 in a batch", () => {
    packOf8(batchesOf64[next++ % 50]!);
  });
  bench("64 items, costs asked anew", () => {
    packByCost(batchesOf64[next++ % 50]!, limits, cost);
  });
  bench("12 different items, exact", () => {
    pack(batchesOf12[next++ % 50]!);
  });
  const packOf8 = createCostPacker({ ...limits, maxItems: 8 }, cost);
});

describe("the rest", () => {
  const sizes = commonSizes();
  bench("planBudgets, 84 sizes, 9 graphs", () => {
    planBudgets(sizes, { maxGraphs: 9 });
  });
  bench("EncoderQueue, 1000 items through", async () => {
    const queue = new EncoderQueue<Packable, null>({
      limits,
      pack: (items) => packGreedyAscending(items, limits),
      run: async ({ items }) => items.map(() => ({ status: "fulfilled", value: null })),
      maxInFlight: 2,
      agingMs: 1000,
      clock: systemClock,
    });
    const { signal } = new AbortController();
    await Promise.all(
      thousand.map((item, caller) => queue.submit(item, { priority: 0, caller, windowMs: 0, signal })),
    );
  });
});

function distinctItems(count: number, random: () => number): Packable[] {
  return Array.from({ length: count }, (_, i) => {
    const outputTokens = 64 * i + Math.ceil(random() * 64);
    return { spec: { inputSize: 4 * outputTokens, outputTokens } };
  });
}
