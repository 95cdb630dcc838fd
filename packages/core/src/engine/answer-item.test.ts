import { systemClock } from "@vitgraph/scheduler";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_MAX_DECODE_BYTES, DEFAULT_MAX_PIXELS } from "../images/index.js";
import { zeroPng } from "../testing/crafted-images.js";
import { type MiniatureModel, openMiniatureModel } from "../testing/miniature-model.js";
import { ItemAnswerer, type ItemAnswererOptions } from "./answer-item.js";
import { PreprocessPool } from "./preprocess-pool.js";
import { RequestContext } from "./request-context.js";

let miniature: MiniatureModel;
beforeAll(async () => {
  miniature = await openMiniatureModel();
});
afterAll(() => miniature[Symbol.asyncDispose]());

const image = new Uint8Array(zeroPng({ width: 8, height: 8, bitDepth: 8, colourType: 2, interlaced: false }));

function setUp() {
  const options = { concurrency: 1, agingMs: 1000, clock: systemClock };
  const pool = new PreprocessPool({ ...options, maxBytes: 1 });
  const answerer = new ItemAnswerer({
    model: miniature.model,
    limits: { maxPixels: DEFAULT_MAX_PIXELS, maxDecodeBytes: DEFAULT_MAX_DECODE_BYTES },
    pool,
    headers: new PreprocessPool({ ...options, maxBytes: Number.POSITIVE_INFINITY }),
  } as unknown as ItemAnswererOptions);
  const context = new RequestContext({ id: 0, windowMs: 0, clock: systemClock });
  return { pool, context, open: () => answerer.open({ image }, context) };
}

test("the header of a small image does not wait for decoding, not even of other small images", async () => {
  const { pool, open, context } = setUp();
  let release = () => {};
  const decoding = new Promise<void>((resolve) => {
    release = resolve;
  });
  const running = Array.from({ length: 8 }, (_, caller) =>
    pool.run(
      { bytes: 0, keptBytes: 0, isSmall: true, work: () => decoding },
      { caller, priority: 0, signal: context.signal },
    ),
  );
  expect((await open()).kind).toBe("image");
  release();
  await Promise.all(running);
});

test("the thread yields to other work between the headers of many images", async () => {
  const { open } = setUp();
  let opened = 0;
  const all = Array.from({ length: 20 }, async () => {
    await open();
    opened += 1;
  });
  const openedInTurns: number[] = [];
  while (opened < 20) {
    await new Promise(setImmediate);
    openedInTurns.push(opened);
  }
  await Promise.all(all);
  expect(openedInTurns[0]).toBeLessThanOrEqual(8);
});
