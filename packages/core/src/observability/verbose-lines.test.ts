import { expect, test } from "vitest";
import {
  batchLine,
  embeddingCacheMissLine,
  embeddingCacheWarmedLine,
  graphStatsLine,
  graphsCapturedLine,
} from "./verbose-lines.js";

test("a batch", () => {
  expect(batchLine({ items: 3, tokens: 1500, budget: 2048, padding: 548 / 2048 })).toBe(
    "ViT BUDGET BATCH: 3 images, 1500 tokens, budget=2048, waste=26.8%, graph_key=2048",
  );
});

test("a batch without a budget", () => {
  expect(batchLine({ items: 3, tokens: 1500, budget: null, padding: 0 })).toBe(
    "ViT BUDGET BATCH fallback to eager: modality=image, num_items=3",
  );
  expect(batchLine({ items: 1, tokens: 1500, budget: null, padding: 0 }, "video")).toBe(
    "ViT BUDGET BATCH fallback to eager: modality=video, num_items=1",
  );
});

test("statistics", () => {
  expect(graphStatsLine({ graphHits: 75, graphMisses: 25, hitRate: 0.75, numBudgets: 9 })).toBe(
    "Encoder CUDA graph stats: hits=75, eager=25, hit_rate=75.0%, num_graphs=9",
  );
});

test("captured graphs", () => {
  expect(graphsCapturedLine({ usedBytes: 1.5 * 2 ** 30, freeBytes: 70 * 2 ** 30 })).toBe(
    "Encoder CUDA graphs captured: 1.50 GiB used by encoder graphs, 70.00 GiB free",
  );
});

test("the embedding cache", () => {
  expect(embeddingCacheWarmedLine({ entries: 100, bytes: 3.25 * 2 ** 20 })).toBe(
    "Embedding cache warmed: 100 grids total, memory: 3.25 MiB",
  );
  expect(
    embeddingCacheMissLine([
      { t: 1, h: 16, w: 24 },
      { t: 4, h: 8, w: 8 },
    ]),
  ).toBe("Embedding cache miss for grids: [(1, 16, 24), (4, 8, 8)] (computed on-the-fly)");
});
