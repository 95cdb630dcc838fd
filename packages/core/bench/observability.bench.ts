/** What it costs to be watched: metrics, traces, log and batch events for one batch, a look at the metrics; a content key; an answer's copy. */
import { bench, describe } from "vitest";
import { copyBytes } from "../src/engine/copy-bytes.js";
import { contentKey } from "../src/engine/output-cache.js";
import {
  BatchEvents,
  createLogger,
  EngineLog,
  EngineMetrics,
  EngineTracing,
  ObserverList,
} from "../src/observability/index.js";

const ITEMS = 8;
const metrics = await EngineMetrics.create();
const observers = new ObserverList([
  metrics,
  new BatchEvents(),
  await EngineTracing.create(),
  new EngineLog({ logger: await createLogger({ level: "warn" }) }),
]);

describe("observers", () => {
  let index = 0;
  bench(`a batch of ${ITEMS} items of as many calls`, () => {
    const first = index * ITEMS;
    index += 1;
    const calls = Array.from({ length: ITEMS }, (_, at) => first + at);
    for (const id of calls) observers.callStarted({ id, items: 1 });
    observers.itemsArrived(ITEMS);
    const batch = { index, device: 0, items: ITEMS, tokens: 2000, budget: 2048, padding: 0.02 };
    const start = { ...batch, itemTokens: calls.map(() => 250), queueMs: calls.map(() => 3), calls };
    observers.batchStarted(start);
    observers.batchEnded({ ...start, deviceMs: 8, wallMs: 10, outcome: "ok" });
    for (const id of calls) {
      observers.prepared({ durationMs: 5, kind: "image" });
      observers.itemSettled({ outcome: "fulfilled", source: "device" });
      observers.callEnded({ id, items: 1, fulfilled: 1, rejected: 0, wallMs: 15 });
    }
  });

  bench("the metrics as Prometheus text", async () => {
    await metrics.prometheus();
  });
});

describe("content keys", () => {
  const side = 64;
  const pixels = new Uint8Array(side * side * 3 * 16 * 16).map((_, at) => at % 251);
  bench("an image of 1024 × 1024 pixels", async () => {
    await contentKey({ format: "u8_still", grid: { t: 1, h: side, w: side }, pixels }, "model");
  });
});

describe("copies of answers", () => {
  const embedding = new Uint8Array(32 * 2 ** 20).fill(1);
  bench("32 MiB, a megapixel's embedding of the 8B model, in parts", async () => {
    await copyBytes(embedding);
  });
  bench("32 MiB at once", () => {
    embedding.slice();
  });
  bench("one part, which is how long JavaScript's thread is held up", async () => {
    await copyBytes(embedding.subarray(0, 2 ** 20));
  });
});
