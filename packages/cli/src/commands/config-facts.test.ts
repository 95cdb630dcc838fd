/** The linter's facts about a model's images hold for every size, in each family. */
import { ARCHITECTURES, type ArchitectureName, loadDummyModel } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import { describe, expect, test } from "vitest";
import { loadedModelFacts } from "./config-facts.js";
import { imageBudgetTokens } from "./image-budget.js";

/** One of each family. */
const MODELS = Object.fromEntries(
  Object.entries(ARCHITECTURES).map(([name, { model_type }]) => [model_type, name as ArchitectureName]),
);

describe.each(Object.entries(MODELS))("%s", (_modelType, architecture) => {
  test("no image takes fewer or more tokens of a budget than the linter is told", async () => {
    await using model = loadDummyModel(architecture);
    const { minTokens = 0, maxTokens = 0 } = loadedModelFacts(model, 16_384).images ?? {};
    for (const size of SIZES) {
      const tokens = tokensOf(size, model);
      if (tokens === undefined) continue;
      expect(tokens).toBeGreaterThanOrEqual(minTokens);
      // Shapes are sampled: padding may come to a little more between them.
      expect(tokens).toBeLessThanOrEqual(1.02 * maxTokens);
    }
  });
});

const SIDES = [1, 14, 29, 100, 337, 385, 640, 1000, 1344, 2048, 4001, 9000];
const SIZES = SIDES.flatMap((height) => SIDES.map((width) => ({ height, width })));

/** Undefined for a size that is refused. */
function tokensOf(...args: Parameters<typeof imageBudgetTokens>): number | undefined {
  try {
    return imageBudgetTokens(...args);
  } catch (error) {
    if (VitgraphError.is(error)) return undefined;
    throw error;
  }
}
