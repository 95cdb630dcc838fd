/** Items and limits for property tests. */
import fc from "fast-check";
import { type Batch, budgetTokensOf, type ItemSpec, type Packable, type PackLimits } from "../src/index.js";

/** Lets a test pack bare specs, and gives the items of each batch as positions. */
export function byPosition<Rest extends readonly unknown[]>(
  pack: <T extends Packable>(items: readonly T[], ...rest: Rest) => readonly Batch<T>[],
): (specs: readonly ItemSpec[], ...rest: Rest) => Batch<number>[] {
  return (specs, ...rest) =>
    pack(
      specs.map((spec, position) => ({ spec, position })),
      ...rest,
    ).map((batch) => ({ ...batch, items: batch.items.map(({ position }) => position) }));
}

export const budgetLists = fc.constantFrom(
  [64, 128, 256, 512, 1024],
  [64, 256, 1024, 4096],
  [100, 130, 700],
  [1024],
  [5, 7, 11, 13],
);

export const packLimits: fc.Arbitrary<PackLimits> = fc.record(
  {
    tokenBudgets: budgetLists,
    maxItems: fc.integer({ min: 1, max: 8 }),
    maxFrames: fc.integer({ min: 1, max: 8 }),
  },
  { requiredKeys: ["tokenBudgets", "maxItems"] },
);

export const itemSpecs = (maxLength: number): fc.Arbitrary<ItemSpec[]> =>
  fc.array(
    fc
      .record({
        outputTokens: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1200 })),
        frames: fc.oneof(
          { weight: 4, arbitrary: fc.constant(1) },
          { weight: 1, arbitrary: fc.integer({ min: 1, max: 10 }) },
        ),
        perRow: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.constant(4) }),
      })
      .map(({ outputTokens, frames, perRow }) => ({
        inputSize: 4 * perRow * outputTokens,
        outputTokens,
        frames,
        ...(perRow > 1 && { budgetTokens: perRow * outputTokens }),
      })),
    { maxLength },
  );

/** Faults of the batches; empty if every item is in exactly one of them and every limit is kept. */
export function packingFaults(
  items: readonly ItemSpec[],
  limits: PackLimits,
  batches: readonly Batch<number>[],
): string[] {
  const faults: string[] = [];
  const packed = batches.flatMap((batch) => [...batch.items]).sort((a, b) => a - b);
  if (packed.join() !== items.map((_, index) => index).join()) faults.push(`packed ${packed.join()}`);
  const largest = Math.max(0, ...limits.tokenBudgets);
  const total = (batch: Batch<number>, count: (item: ItemSpec) => number): number =>
    batch.items.reduce((sum, index) => sum + count(items[index]!), 0);
  for (const batch of batches) {
    const frames = total(batch, (item) => item.frames ?? 1);
    if (batch.items.length === 0) faults.push("an empty batch");
    if (batch.tokens !== total(batch, budgetTokensOf)) faults.push("wrong tokens");
    if (batch.inputSize !== total(batch, (item) => item.inputSize)) faults.push("wrong inputSize");
    if (batch.frames !== frames) faults.push("wrong frames");
    if (batch.items.length > limits.maxItems) faults.push("too many items");
    const tooManyFrames = frames > (limits.maxFrames ?? Number.POSITIVE_INFINITY);
    if (batch.items.length > 1 && (batch.tokens > largest || tooManyFrames))
      faults.push("several items above a limit");
    if (batch.budget !== null && (batch.budget < batch.tokens || tooManyFrames))
      faults.push("budget too small");
    if (batch.budget !== null && !limits.tokenBudgets.includes(batch.budget)) faults.push("unknown budget");
  }
  return faults;
}
