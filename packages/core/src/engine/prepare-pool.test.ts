import { VirtualClock } from "@vitgraph/scheduler/testing";
import { describe, expect, test } from "vitest";
import { type Prepared, PreparePool, type PreparePoolOptions } from "./prepare-pool.js";

const never = new AbortController().signal;

function setUp(options: Partial<PreparePoolOptions> = {}) {
  const clock = new VirtualClock();
  const pool = new PreparePool({ concurrency: 2, maxPixels: 100, agingMs: 1000, clock, ...options });
  const started: string[] = [];
  /** A work of that name that takes 10 ms, with so many pixels held during and after it. */
  const run = (
    name: string,
    { pixels = 10, keptPixels = 0, priority = 0, signal = never, fails = false } = {},
  ): Promise<Prepared<string>> =>
    pool.run(
      {
        pixels,
        keptPixels,
        work: async () => {
          started.push(name);
          await clock.sleep(10);
          if (fails) throw new Error(`${name} is damaged`);
          return name;
        },
      },
      { priority, signal },
    );
  return { clock, pool, started, run };
}

describe("PreparePool", () => {
  test("runs so many works at a time, in order of priority and arrival", async () => {
    const { clock, pool, started, run } = setUp();
    const works = [run("a"), run("b"), run("c"), run("d", { priority: -1 }), run("e", { priority: -1 })];
    await clock.advance(0);
    expect(started).toEqual(["a", "b"]);
    expect(pool.size).toBe(5);
    await clock.runAll();
    expect(started).toEqual(["a", "b", "d", "e", "c"]);
    expect((await Promise.all(works)).map(({ value }) => value)).toEqual(["a", "b", "c", "d", "e"]);
    expect(pool.size).toBe(0);
  });

  test("lets waiting outweigh priority in the end", async () => {
    const { clock, started, run } = setUp({ concurrency: 1, agingMs: 20 });
    const works = [run("a"), run("b", { priority: 1 })];
    await clock.advance(5);
    works.push(run("c"));
    await clock.advance(10);
    // It stands as if it had come at 20 ms, which is before this one.
    await clock.advance(6);
    works.push(run("d"));
    await clock.runAll();
    await Promise.all(works);
    expect(started).toEqual(["a", "c", "b", "d"]);
  });

  test("holds pixels from the start of a work until its result is disposed, and lets nobody overtake", async () => {
    const { clock, pool, started, run } = setUp();
    const works = [
      run("a", { pixels: 60, keptPixels: 50 }),
      run("b", { pixels: 60 }),
      run("c", { pixels: 1 }),
    ];
    await clock.runAll();
    expect(started).toEqual(["a"]);
    expect(pool.heldPixels).toBe(50);
    const [a] = await Promise.all(works.slice(0, 1));
    a?.[Symbol.dispose]();
    a?.[Symbol.dispose]();
    await clock.runAll();
    expect(started).toEqual(["a", "b", "c"]);
    await Promise.all(works);
    expect(pool.heldPixels).toBe(0);
  });

  test("lets an item through that is larger than everything, alone", async () => {
    const { clock, started, run } = setUp();
    const works = [run("small"), run("huge", { pixels: 1000 }), run("small too")];
    await clock.advance(9);
    expect(started).toEqual(["small"]);
    await clock.advance(1);
    expect(started).toEqual(["small", "huge"]);
    await clock.runAll();
    await Promise.all(works);
    expect(started).toEqual(["small", "huge", "small too"]);
  });

  test("a cancelled work that waits leaves at once and makes room", async () => {
    const { clock, pool, started, run } = setUp();
    const controller = new AbortController();
    const held = run("held", { pixels: 90, keptPixels: 90 });
    await clock.runAll();
    const large = run("large", { pixels: 50, signal: controller.signal });
    const small = run("small", { pixels: 5 });
    await clock.advance(0);
    expect(started).toEqual(["held"]);
    controller.abort("gone");
    await expect(large).rejects.toBe("gone");
    expect(pool.size).toBe(1);
    await clock.runAll();
    expect((await small).value).toBe("small");
    (await held)[Symbol.dispose]();
    await expect(run("late", { signal: controller.signal })).rejects.toBe("gone");
    expect(started).toEqual(["held", "small"]);
  });

  test("a cancelled work that runs keeps its room till it ends, and its result is dropped", async () => {
    const { clock, pool, run } = setUp();
    const controller = new AbortController();
    const work = run("a", { pixels: 60, keptPixels: 60, signal: controller.signal });
    const rejected = expect(work).rejects.toBe("gone");
    await clock.advance(5);
    controller.abort("gone");
    expect(pool.heldPixels).toBe(60);
    let idle = false;
    const idling = pool.idle().then(() => {
      idle = true;
    });
    await clock.advance(4);
    expect(idle).toBe(false);
    await clock.runAll();
    await idling;
    await pool.idle();
    await rejected;
    expect(pool.heldPixels).toBe(0);
    expect(pool.size).toBe(0);
  });

  test("a work that fails gives its room back", async () => {
    const { clock, pool, run } = setUp();
    const rejected = expect(run("a", { pixels: 60, fails: true })).rejects.toThrow("a is damaged");
    await clock.runAll();
    await rejected;
    expect(pool.heldPixels).toBe(0);
  });
});
