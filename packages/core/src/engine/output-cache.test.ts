import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import type { EncoderItem } from "../item.js";
import { Embedding } from "../runtime/embedding.js";
import { contentKey, OutputCache, uuidKey } from "./output-cache.js";

const BATCH = { index: 0, items: 1, tokens: 1, budget: null, padding: 0, durationMs: 1 };

function embeddingOf(sizeBytes: number, fill = 0): Embedding {
  const bytes = new Uint8Array(sizeBytes).fill(fill);
  return new Embedding({
    grid: { t: 1, h: 2, w: 2 },
    tokens: 1,
    columns: 1,
    dtype: "bf16",
    bytes,
    batch: BATCH,
  });
}

/** A computation that ends when the test says so. */
function controlled() {
  let resolve: (embedding: Embedding) => void = () => {};
  let reject: (reason: unknown) => void = () => {};
  let signal: AbortSignal | undefined;
  const compute = vi.fn((given: AbortSignal) => {
    signal = given;
    return new Promise<Embedding>((onResolve, onReject) => {
      resolve = onResolve;
      reject = onReject;
    });
  });
  return {
    compute,
    resolve: (embedding: Embedding) => resolve(embedding),
    reject: (reason: unknown) => reject(reason),
    signal: () => signal as AbortSignal,
  };
}

/** The cached embedding, without computing one. */
function kept(cache: OutputCache, key: string): Promise<Embedding | undefined> {
  const absent = async () => Promise.reject(new Error("absent"));
  return cache.share(key, absent).catch(() => undefined);
}

async function rejection(promise: Promise<unknown>): Promise<VitgraphError> {
  return promise.then(
    () => expect.unreachable("the promise was fulfilled"),
    (error) => error,
  );
}

describe("cached embeddings", () => {
  test("an embedding is computed once and then cached", async () => {
    const cache = new OutputCache(100);
    const compute = vi.fn(async () => embeddingOf(10, 7));
    const first = await cache.share("a", compute);
    const second = await cache.share("a", compute);
    expect(compute).toHaveBeenCalledTimes(1);
    expect([...second.bytes]).toEqual([...first.bytes]);
    expect(cache.stats()).toEqual({
      hits: 1,
      misses: 1,
      joined: 0,
      evictions: 0,
      entries: 1,
      bytes: 10,
      capacityBytes: 100,
    });
  });

  test("an embedding larger than the cache is returned without evicting others", async () => {
    const cache = new OutputCache(20);
    await cache.share("small", async () => embeddingOf(20));
    expect((await cache.share("large", async () => embeddingOf(21))).bytes).toHaveLength(21);
    expect(await kept(cache, "large")).toBeUndefined();
    expect(await kept(cache, "small")).toBeDefined();
  });

  test("a view counts with the size of its whole buffer", async () => {
    const cache = new OutputCache(1000);
    const view = new Embedding({ ...embeddingOf(1), bytes: new Uint8Array(new ArrayBuffer(600), 100, 50) });
    await cache.share("view", async () => view);
    expect(cache.stats().bytes).toBe(600);
  });

  test("results do not share memory with each other or with the cache", async () => {
    for (const capacity of [0, 100]) {
      const cache = new OutputCache(capacity);
      const { compute, resolve } = controlled();
      const joined = [1, 2, 3].map(() => cache.share("a", compute));
      const computed = embeddingOf(8, 7);
      resolve(computed);
      const answers = await Promise.all(joined);
      if (capacity > 0) answers.push((await kept(cache, "a")) as Embedding);
      for (const answer of answers) {
        expect([...answer.bytes]).toEqual(new Array(8).fill(7));
        answer.bytes.fill(1);
        structuredClone(answer.bytes.buffer, { transfer: [answer.bytes.buffer as ArrayBuffer] });
      }
      expect([...computed.bytes]).toEqual(new Array(8).fill(7));
    }
  });

  test("an embedding for a single caller that is not cached is not copied", async () => {
    const computed = embeddingOf(8);
    expect((await new OutputCache(0).share("a", async () => computed)).bytes).toBe(computed.bytes);
  });

  test("a large embedding is copied completely, in parts", async () => {
    const large = embeddingOf(3 * 2 ** 20 + 5);
    large.bytes.forEach((_, index) => {
      if (index % 4099 === 0) large.bytes[index] = index;
    });
    const answer = await new OutputCache(2 ** 23).share("a", async () => large);
    // `not.toBe` would compare every element for its message, which takes twelve seconds.
    expect(answer.bytes === large.bytes).toBe(false);
    expect(Buffer.compare(answer.bytes, large.bytes)).toBe(0);
  });

  test("the byte count equals the sum of the entries, even if callers transfer their results", async () => {
    const cache = new OutputCache(100);
    for (let key = 0; key < 50; key++) {
      const { bytes } = await cache.share(`${key}`, async () => embeddingOf(10));
      structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
    }
    expect(cache.stats()).toMatchObject({ entries: 10, bytes: 100, evictions: 40 });
    expect((await kept(cache, "49"))?.bytes).toHaveLength(10);
  });

  test("with capacity 0 nothing is cached, but identical concurrent items are computed once", async () => {
    const cache = new OutputCache(0);
    const { compute, resolve } = controlled();
    const both = [cache.share("a", compute), cache.share("a", compute)];
    resolve(embeddingOf(4));
    await Promise.all(both);
    expect(compute).toHaveBeenCalledTimes(1);
    expect(cache.stats()).toMatchObject({ misses: 1, joined: 1, entries: 0, bytes: 0 });
  });

  test("an invalid capacity is refused", () => {
    expect(() => new OutputCache(-1)).toThrowErrorMatchingInlineSnapshot(
      `[VitgraphError: the output cache's capacity is -1 bytes: give a number of bytes, 0 to keep no embeddings]`,
    );
    expect(() => new OutputCache(Number.NaN)).toThrow(VitgraphError);
  });

  /** A reference LRU cache: keys from oldest to newest, with their sizes. */
  class Model {
    entries: { key: string; size: number }[] = [];
    constructor(readonly capacity: number) {}
    use(key: string): boolean {
      const at = this.entries.findIndex((entry) => entry.key === key);
      if (at < 0) return false;
      this.entries.push(...this.entries.splice(at, 1));
      return true;
    }
    add(key: string, size: number): void {
      if (size > this.capacity) return;
      this.entries.push({ key, size });
      while (this.bytes > this.capacity) this.entries.shift();
    }
    get bytes(): number {
      return this.entries.reduce((sum, { size }) => sum + size, 0);
    }
  }

  test("the cache behaves like a list that evicts the least recently used entry", async () => {
    const key = fc.constantFrom("a", "b", "c", "d", "e", "f");
    const command = fc.oneof(
      fc.record({ kind: fc.constant("get" as const), key }),
      fc.record({ kind: fc.constant("share" as const), key, size: fc.integer({ min: 0, max: 40 }) }),
      fc.record({ kind: fc.constant("fail" as const), key }),
      fc.record({ kind: fc.constant("clear" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 100 }), fc.array(command), async (capacity, commands) => {
        const cache = new OutputCache(capacity);
        const model = new Model(capacity);
        for (const step of commands) {
          if (step.kind === "clear") {
            cache.clear();
            model.entries = [];
          } else if (step.kind === "get") {
            expect((await kept(cache, step.key)) !== undefined).toBe(model.use(step.key));
          } else if (step.kind === "share") {
            const compute = vi.fn(async () => embeddingOf(step.size));
            await cache.share(step.key, compute);
            const known = model.use(step.key);
            expect(compute).toHaveBeenCalledTimes(known ? 0 : 1);
            if (!known) model.add(step.key, step.size);
          } else {
            const outcome = cache.share(step.key, async () => Promise.reject(new Error("no")));
            if (model.use(step.key)) await outcome;
            else await expect(outcome).rejects.toThrow("no");
          }
          expect(cache.stats()).toMatchObject({ bytes: model.bytes, entries: model.entries.length });
        }
        for (const name of ["a", "b", "c", "d", "e", "f"]) {
          expect((await kept(cache, name)) !== undefined).toBe(model.use(name));
        }
      }),
    );
  });
});

describe("flights", () => {
  test("a failure is passed to all waiting callers, and is not cached", async () => {
    const cache = new OutputCache(100);
    const { compute, reject } = controlled();
    const outcomes = Promise.allSettled([cache.share("a", compute), cache.share("a", compute)]);
    const failure = new Error("device lost");
    reject(failure);
    expect(await outcomes).toEqual([
      { status: "rejected", reason: failure },
      { status: "rejected", reason: failure },
    ]);
    await expect(cache.share("a", async () => embeddingOf(1))).resolves.toBeInstanceOf(Embedding);
  });

  test("a computation that throws at once fails like one that rejects", async () => {
    const cache = new OutputCache(100);
    const failing = () => {
      throw new Error("thrown");
    };
    await expect(cache.share("a", failing)).rejects.toThrow("thrown");
  });

  test("a caller that aborts does not affect the other waiting callers", async () => {
    const cache = new OutputCache(100);
    const { compute, resolve, signal } = controlled();
    const leaver = new AbortController();
    const left = cache.share("a", compute, leaver.signal);
    const stays = cache.share("a", compute, new AbortController().signal);
    const reason = new Error("gone home");
    leaver.abort(reason);
    const error = await rejection(left);
    expect(error.code).toBe("VG_ABORTED");
    expect(error.message).toMatchInlineSnapshot(
      `"the caller cancelled the item before its embedding was ready"`,
    );
    expect(error.cause).toBe(reason);
    expect(signal().aborted).toBe(false);
    resolve(embeddingOf(3));
    await expect(stays).resolves.toBeInstanceOf(Embedding);
  });

  test("without waiting callers the flight is aborted, and the next caller starts a new one", async () => {
    const cache = new OutputCache(100);
    const first = controlled();
    const leavers = [new AbortController(), new AbortController()];
    const left = leavers.map(({ signal }) => rejection(cache.share("a", first.compute, signal)));
    leavers[0]?.abort();
    expect(first.signal().aborted).toBe(false);
    leavers[1]?.abort("enough");
    expect(first.signal().aborted).toBe(true);
    expect(first.signal().reason).toBe("enough");
    await Promise.all(left);

    const second = controlled();
    const anew = cache.share("a", second.compute);
    expect(second.compute).toHaveBeenCalledTimes(1);
    // The abandoned flight rejects later, without effect.
    first.reject(new Error("aborted"));
    second.resolve(embeddingOf(5));
    expect((await anew).bytes).toHaveLength(5);
    expect((await kept(cache, "a"))?.bytes).toHaveLength(5);
  });

  test("a call with an aborted signal computes nothing", async () => {
    const compute = vi.fn(async () => embeddingOf(1));
    const error = await rejection(new OutputCache(100).share("a", compute, AbortSignal.abort()));
    expect(error.code).toBe("VG_ABORTED");
    expect(compute).not.toHaveBeenCalled();
  });

  test("an abort after the result has no effect", async () => {
    const cache = new OutputCache(100);
    const caller = new AbortController();
    const { compute, resolve, signal } = controlled();
    const answer = cache.share("a", compute, caller.signal);
    resolve(embeddingOf(2));
    await answer;
    caller.abort();
    expect(signal().aborted).toBe(false);
  });

  test("after clear, waiting callers get their results, which are not cached", async () => {
    const cache = new OutputCache(100);
    const { compute, resolve } = controlled();
    const waiting = cache.share("a", compute);
    cache.clear();
    resolve(embeddingOf(2));
    await expect(waiting).resolves.toBeInstanceOf(Embedding);
    expect(await kept(cache, "a")).toBeUndefined();
  });

  test("for any order of events, each flight computes once and each caller is answered once", async () => {
    const event = fc.record({ at: fc.nat(20), leavesAt: fc.option(fc.nat(20)) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(event, { minLength: 1, maxLength: 8 }),
        fc.nat(20),
        async (callers, endsAt) => {
          const cache = new OutputCache(100);
          const flight = controlled();
          const answers: Promise<PromiseSettledResult<Embedding>[]>[] = [];
          const leaving: { at: number; controller: AbortController }[] = [];
          for (let now = 0; now <= 20; now++) {
            for (const { at, leavesAt } of callers) {
              if (at !== now) continue;
              const controller = new AbortController();
              answers.push(Promise.allSettled([cache.share("a", flight.compute, controller.signal)]));
              if (leavesAt !== null) leaving.push({ at: leavesAt, controller });
            }
            for (const { at, controller } of leaving) if (at === now) controller.abort();
            if (now === endsAt) flight.resolve(embeddingOf(1));
            await new Promise<void>((resolve) => setImmediate(resolve));
          }
          flight.resolve(embeddingOf(1));
          const settled = (await Promise.all(answers)).flat();
          const { hits, misses, joined } = cache.stats();
          expect(settled).toHaveLength(callers.length);
          expect(flight.compute).toHaveBeenCalledTimes(misses);
          expect(hits + misses + joined).toBe(callers.length);
          for (const outcome of settled) {
            if (outcome.status === "rejected") expect(outcome.reason.code).toBe("VG_ABORTED");
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe("keys", () => {
  const item: EncoderItem = { format: "u8", grid: { t: 1, h: 2, w: 4 }, pixels: Uint8Array.of(1, 2, 3) };

  test("a content key is equal for equal content in any buffer", async () => {
    const within = new Uint8Array([9, 1, 2, 3, 9]).subarray(1, 4);
    const key = await contentKey(item, "model");
    expect(key).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await contentKey({ ...item, pixels: within }, "model")).toBe(key);
  });

  test("every part of the content changes the key", async () => {
    const keys = await Promise.all([
      contentKey(item, "model"),
      contentKey(item, "other model"),
      contentKey({ ...item, format: "u8_still" }, "model"),
      contentKey({ ...item, grid: { t: 1, h: 4, w: 2 } }, "model"),
      contentKey({ ...item, grid: { t: 2, h: 2, w: 2 } }, "model"),
      contentKey({ ...item, pixels: Uint8Array.of(1, 2, 4) }, "model"),
      contentKey({ ...item, pixels: Uint8Array.of(1, 2, 3, 0) }, "model"),
      contentKey({ ...item, pixels: new Uint8Array() }, "model"),
      contentKey({ format: "normalized", grid: item.grid, pixelValues: Float32Array.of(1) }, "model"),
      contentKey({ format: "normalized", grid: item.grid, pixelValues: Float32Array.of(2) }, "model"),
    ]);
    expect(new Set(keys).size).toBe(keys.length);
  });

  test("content that is hashed in several parts affects the key up to its last byte", async () => {
    const pixels = new Uint8Array(2 ** 20 * 2 + 5);
    const other = pixels.slice();
    other[other.length - 1] = 1;
    const [a, b, c] = await Promise.all([
      contentKey({ ...item, pixels }, "model"),
      contentKey({ ...item, pixels: other }, "model"),
      contentKey({ ...item, pixels: pixels.slice() }, "model"),
    ]);
    expect(a).not.toBe(b);
    expect(a).toBe(c);
  });

  const named = (uuid: string, identity = "model", grid = item.grid) => uuidKey(uuid, identity, grid);

  test("a uuid key never equals a content key", async () => {
    const key = await contentKey(item, "model");
    expect(named(key)).not.toBe(key);
    fc.assert(fc.property(fc.string({ minLength: 1 }), (uuid) => /^uuid:[0-9a-f]{64}$/.test(named(uuid))));
  });

  test("the key of a uuid includes the model and the grid", () => {
    const keys = [
      named("x"),
      named("y"),
      named("x", "other model"),
      named("x", "model", { t: 1, h: 4, w: 2 }),
      named("x", "model", { t: 2, h: 2, w: 4 }),
    ];
    expect(new Set(keys).size).toBe(keys.length);
    expect(named("x")).toBe(named("x"));
  });

  test("a uuid must be a non-empty string", () => {
    expect(() => named("")).toThrowErrorMatchingInlineSnapshot(
      `[VitgraphError: an item's uuid is "": give a string that stands for its content alone, or leave uuid out]`,
    );
    expect(() => named({} as never)).toThrow("an item's uuid is {}");
  });
});
