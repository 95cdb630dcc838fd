/**
 * What went wrong in the field with encoder graphs, as scenarios that any backend must survive: stale rows and segment
 * bounds of the batch before, rows that no kernel wrote, several budgets in one arena, more items than slots.
 *
 * Every answer is compared with the item encoded alone, eagerly, on the CPU. Memory is poisoned with NaN first.
 */
import {
  compareWithReference,
  createDevice,
  type Device,
  type EncoderItem,
  type Grid,
  type LoadedModel,
  loadModel,
  patchCount,
  VisionEncoder,
} from "@vitgraph/core";

export interface Scenario {
  readonly name: string;
  run(bench: ScenarioBench): Promise<void>;
}

/** What a scenario works with: an encoder of the device under test with these budgets, and the answers of the oracle. */
export interface ScenarioBench {
  withEncoder(
    config: object,
    use: (encode: Encode) => Promise<void>,
    options?: { readonly cachedPatches: number },
  ): Promise<void>;
}

/** Encodes the grids (with random pixels that depend on the grid and the seed) and compares every answer. */
type Encode = (grids: readonly Grid[], seed?: number) => Promise<{ budgets: readonly (number | null)[] }>;

const still = (h: number, w: number): Grid => ({ t: 1, h, w });
const GRAPHS = { compile_mm_encoder: true, cudagraph_mm_encoder: true };
const BUDGETS = [16, 32, 64, 128, 256, 512, 1024];

export function replaysUnderChangingContent(replays: number): Scenario {
  return {
    name: `${replays} replays under changing content`,
    run: ({ withEncoder }) =>
      withEncoder(GRAPHS, async (encode) => {
        const random = randomFrom(7);
        // A few grids and seeds, so that the oracle's answers are computed once each.
        for (let replay = 0; replay < replays; replay++) {
          const grids = Array.from({ length: 1 + random(3) }, () =>
            still(2 + 2 * random(4), 2 + 2 * random(4)),
          );
          await encode(grids, random(4));
        }
      }),
  };
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "small, large, small again",
    run: ({ withEncoder }) =>
      withEncoder(GRAPHS, async (encode) => {
        for (const grid of [still(4, 4), still(44, 80), still(4, 4), still(64, 64), still(2, 2)])
          await encode([grid]);
      }),
  },
  {
    name: "equal totals, split in other ways",
    run: ({ withEncoder }) =>
      withEncoder(GRAPHS, async (encode) => {
        await encode([still(16, 16), still(16, 16)]);
        await encode([still(8, 16), still(16, 24)]);
        await encode([still(4, 4), still(4, 4), still(8, 60)]);
        await encode([still(16, 32)]);
      }),
  },
  {
    name: "several budgets in one arena, then 1280 × 720",
    run: ({ withEncoder }) =>
      withEncoder({ ...GRAPHS, encoder_cudagraph_token_budgets: BUDGETS }, async (encode) => {
        for (const budget of BUDGETS) await encode([still(4, budget)], budget);
        await encode([still(44, 80)]);
      }),
  },
  {
    name: "one token above and below each budget",
    run: ({ withEncoder }) =>
      withEncoder({ ...GRAPHS, encoder_cudagraph_token_budgets: BUDGETS }, async (encode) => {
        for (const budget of BUDGETS) {
          for (const tokens of [budget - 1, budget, budget + 1]) {
            const { budgets } = await encode([still(2, tokens * 2)], tokens);
            const expected = BUDGETS.find((candidate) => candidate >= tokens) ?? null;
            if (budgets[0] !== expected)
              throw new Error(`${tokens} tokens ran in ${budgets[0]}, not in ${expected}`);
          }
        }
      }),
  },
  {
    name: "more items than slots",
    run: ({ withEncoder }) =>
      withEncoder({ ...GRAPHS, encoder_cudagraph_max_vision_items_per_batch: 3 }, async (encode) => {
        await encode(Array.from({ length: 10 }, (_, index) => still(2, 2 + 2 * (index % 4))));
      }),
  },
  {
    name: "video beside images",
    run: ({ withEncoder }) =>
      withEncoder(GRAPHS, async (encode) => {
        await encode([{ t: 3, h: 6, w: 4 }, still(8, 8), { t: 8, h: 2, w: 2 }, still(4, 20)]);
        await encode([still(8, 8)]);
        await encode([{ t: 5, h: 4, w: 4 }]);
      }),
  },
  {
    name: "eager and replayed by turns",
    run: ({ withEncoder }) =>
      withEncoder({ ...GRAPHS, encoder_cudagraph_token_budgets: [64] }, async (encode) => {
        for (let round = 0; round < 3; round++) {
          await encode([still(8, 8)], round);
          await encode([still(32, 32)], round);
        }
      }),
  },
  ...[true, false].map((fuse) => ({
    name: `grids by turns in a cache that holds few of them, ${fuse ? "fused" : "unfused"}`,
    run: ({ withEncoder }: ScenarioBench) =>
      withEncoder(
        {
          compile_mm_encoder: fuse,
          cudagraph_mm_encoder: true,
          encoder_cudagraph_token_budgets: [16, 64, 512],
        },
        async (encode) => {
          const random = randomFrom(11);
          for (let batch = 0; batch < 120; batch++) {
            const grids = Array.from({ length: 1 + random(5) }, () => ({
              t: random(4) === 0 ? 3 : 1,
              h: 2 + 2 * random(7),
              w: 2 + 2 * random(7),
            }));
            // Several at once: batches are staged while others run.
            await Promise.all([encode(grids), encode(grids.slice(1)), encode([...grids].reverse())]);
          }
          // Beyond the cache, under the largest budget and above it.
          await encode([still(32, 40)]);
          await encode([still(64, 64), still(4, 4)]);
        },
        { cachedPatches: 280 },
      ),
  })),
  {
    name: "calls that overlap, of all sizes, replayed and eager",
    run: ({ withEncoder }) =>
      withEncoder({ ...GRAPHS, encoder_cudagraph_token_budgets: [16, 64, 256] }, async (encode) => {
        // The last does not fit a budget. While one call's results leave, others arrive and compute.
        const calls = [
          [still(4, 4)],
          [still(8, 16), still(4, 4)],
          [still(28, 32)],
          [still(2, 2)],
          [still(32, 40)],
        ];
        for (let round = 0; round < 40; round++) {
          const order = calls.map((_, index) => calls[(index * 2 + round) % calls.length] as readonly Grid[]);
          await Promise.all(order.map((grids, index) => encode(grids, (round + index) % 4)));
        }
      }),
  },
  replaysUnderChangingContent(2000),
];

/** Runs a scenario on a device, held against the CPU. `tolerance` is the largest relative L2 of an item. */
export async function runScenario(
  scenario: Scenario,
  device: Device,
  modelDirectory: string,
  tolerance: number,
) {
  await using model = await loadModel(modelDirectory);
  using oracleDevice = createDevice({ backend: "cpu" });
  using oracle = await VisionEncoder.create({ model, device: oracleDevice });
  const answers = new Map<string, Promise<Float32Array>>();
  const answerOf = (item: EncoderItem, seed: number) => {
    const key = `${Object.values(item.grid)} ${seed}`;
    const answer = answers.get(key) ?? encodeAlone(oracle, item);
    answers.set(key, answer);
    return answer;
  };
  await scenario.run({
    async withEncoder(compilationConfig, use, options) {
      using encoder = await VisionEncoder.create({
        model,
        device,
        compilationConfig,
        maxBatchTokens: 1024,
        ...(options === undefined
          ? {}
          : { gridCacheBytes: cacheBytes(model, device, options.cachedPatches) }),
      });
      await encoder.poison();
      await use(async (grids, seed = 0) => {
        const items = grids.map((grid) => randomItem(model, grid, seed));
        const outcomes = await encoder.encode(items);
        const budgets: (number | null)[] = [];
        for (const [index, outcome] of outcomes.entries()) {
          if (outcome.status === "rejected") throw outcome.reason;
          const expected = await answerOf(items[index] as EncoderItem, seed);
          const { relativeL2 } = compareWithReference(outcome.value.data, expected);
          if (!(relativeL2 <= tolerance)) {
            throw new Error(`item ${index} of ${JSON.stringify(grids)} differs: relative L2 ${relativeL2}`);
          }
          budgets.push(outcome.value.batch.budget);
        }
        return { budgets };
      });
    },
  });
}

/** Each patch has its embedding and two words of positions. */
function cacheBytes({ vision }: LoadedModel, { activationDType }: Device, patches: number): number {
  return patches * ((vision.config.hidden_size as number) * (activationDType === "f32" ? 4 : 2) + 8);
}

/** Whole numbers below a limit, the same each time. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

async function encodeAlone(oracle: VisionEncoder, item: EncoderItem): Promise<Float32Array> {
  const [outcome] = await oracle.encode([item]);
  if (outcome?.status !== "fulfilled") throw outcome?.reason;
  return outcome.value.data;
}

function randomItem(model: LoadedModel, grid: Grid, seed: number): EncoderItem {
  const { channels, temporalPatchSize, patchSize } = model.vision;
  const format = grid.t === 1 ? "u8_still" : "u8";
  const row = channels * patchSize ** 2 * (format === "u8" ? temporalPatchSize : 1);
  const pixels = new Uint8Array(patchCount(grid) * row);
  let state = seed + grid.t * 1_000_003 + grid.h * 1_009 + grid.w;
  for (let i = 0; i < pixels.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pixels[i] = state >>> 24;
  }
  return { format, grid, pixels };
}
