import { VirtualClock } from "@vitgraph/scheduler/testing";
import { describe, expect, test } from "vitest";
import { type Preprocessed, PreprocessPool, type PreprocessPoolOptions } from "./preprocess-pool.js";

const never = new AbortController().signal;

function setUp(options: Partial<PreprocessPoolOptions> = {}) {
  const clock = new VirtualClock();
  const pool = new PreprocessPool({ concurrency: 2, maxBytes: 100, agingMs: 1000, clock, ...options });
  const started: string[] = [];
  /** Runs a job with this name that takes 10 ms and holds these bytes during and after it. */
  const run = (
    name: string,
    {
      bytes = 10,
      keptBytes = 0,
      isSmall = false,
      priority = 0,
      caller = name,
      signal = never,
      fails = false,
    } = {},
  ): Promise<Preprocessed<string>> =>
    pool.run(
      {
        bytes,
        keptBytes,
        isSmall,
        work: async () => {
          started.push(name);
          await clock.sleep(10);
          if (fails) throw new Error(`${name} is damaged`);
          return name;
        },
      },
      { caller, priority, signal },
    );
  return { clock, pool, started, run };
}

describe("PreprocessPool", () => {
  test("runs a limited number of jobs at a time, in order of priority and arrival", async () => {
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

  test("lets waiting time outweigh priority eventually", async () => {
    const { clock, started, run } = setUp({ concurrency: 1, agingMs: 20 });
    const works = [run("a"), run("b", { priority: 1 }), run("c"), run("d")];
    await clock.advance(15);
    works.push(run("e"));
    await clock.runAll();
    await Promise.all(works);
    // After 20 ms its priority equals that of the last job, and it arrived earlier.
    expect(started).toEqual(["a", "c", "d", "b", "e"]);
  });

  test("alternates between callers, so a flood from one does not delay the others", async () => {
    const { clock, started, run } = setUp({ concurrency: 1 });
    const works = Array.from({ length: 6 }, (_, index) => run(`f${index}`, { caller: "flood" }));
    await clock.advance(5);
    works.push(run("small", { caller: "small", bytes: 1 }));
    await clock.runAll();
    await Promise.all(works);
    expect(started.indexOf("small")).toBeLessThanOrEqual(2);
  });

  test("counts bytes from the start of a job until its result is disposed, and lets no job overtake", async () => {
    const { clock, pool, started, run } = setUp();
    const works = [run("a", { bytes: 60, keptBytes: 50 }), run("b", { bytes: 60 }), run("c", { bytes: 1 })];
    await clock.runAll();
    expect(started).toEqual(["a"]);
    expect(pool.heldBytes).toBe(50);
    const [a] = await Promise.all(works.slice(0, 1));
    a?.[Symbol.dispose]();
    a?.[Symbol.dispose]();
    await clock.runAll();
    expect(started).toEqual(["a", "b", "c"]);
    await Promise.all(works);
    expect(pool.heldBytes).toBe(0);
  });

  test("runs a job that exceeds the limit alone", async () => {
    const { clock, started, run } = setUp();
    const works = [run("small"), run("huge", { bytes: 1000 }), run("small too")];
    await clock.advance(9);
    expect(started).toEqual(["small"]);
    await clock.advance(1);
    expect(started).toEqual(["small", "huge"]);
    await clock.runAll();
    await Promise.all(works);
    expect(started).toEqual(["small", "huge", "small too"]);
  });

  describe("has a lane for small jobs", () => {
    const small = { bytes: 5, isSmall: true };

    test("that run while large ones use all slots, one per caller at a time", async () => {
      const { clock, pool, started, run } = setUp();
      const works = ["A", "B", "C"].map((name) => run(name, { caller: "large" }));
      for (const name of ["f1", "f2", "f3"]) works.push(run(name, { ...small, caller: "flood" }));
      await clock.advance(5);
      works.push(run("s", { ...small, caller: "small" }));
      await clock.advance(0);
      expect(started).toEqual(["A", "B", "f1", "s"]);
      await clock.runAll();
      await Promise.all(works);
      expect(pool.size).toBe(0);
    });

    test("with a memory limit separate from that of large ones", async () => {
      const { clock, pool, started, run } = setUp();
      const works = [run("held", { bytes: 90, keptBytes: 90 })];
      await clock.runAll();
      works.push(run("large", { bytes: 50 }), run("s", { ...small, keptBytes: 5 }));
      await clock.runAll();
      expect(started).toEqual(["held", "s"]);
      expect(pool.heldBytes).toBe(95);
      // Bytes kept by the small job do not count against the large one.
      (await works[0])?.[Symbol.dispose]();
      works.push(run("exact", { bytes: 50 }));
      await clock.runAll();
      expect(started).toEqual(["held", "s", "large", "exact"]);
      for (const work of works) (await work)[Symbol.dispose]();
      expect(pool.heldBytes).toBe(0);
    });

    test("with slots for callers without a running job: a single image does not wait for a flood", async () => {
      const { clock, started, run } = setUp({ concurrency: 1 });
      const works = ["f1", "f2", "f3", "f4"].map((name) => run(name, { ...small, caller: "flood" }));
      await clock.advance(5);
      works.push(run("a", { ...small, caller: "a" }), run("a2", { ...small, caller: "a" }));
      works.push(run("b", { ...small, caller: "b" }), run("c", { ...small, caller: "c" }));
      await clock.advance(0);
      // One outside the lane, and three in it.
      expect(started).toEqual(["f1", "f2", "a", "b"]);
      await clock.runAll();
      await Promise.all(works);
      expect(started).toHaveLength(8);
    });

    test("with bounded memory", async () => {
      const { clock, started, run } = setUp();
      const half = { bytes: 40 << 20, keptBytes: 40 << 20, isSmall: true };
      const works = [run("held", { bytes: 90, keptBytes: 90 })];
      await clock.runAll();
      works.push(run("s1", half), run("s2", half));
      await clock.runAll();
      expect(started).toEqual(["held", "s1"]);
      (await works[1])?.[Symbol.dispose]();
      await clock.runAll();
      expect(started).toEqual(["held", "s1", "s2"]);
      await Promise.all(works);
    });
  });

  test("removes a cancelled waiting job at once and starts the next", async () => {
    const { clock, pool, started, run } = setUp();
    const controller = new AbortController();
    const held = run("held", { bytes: 90, keptBytes: 90 });
    await clock.runAll();
    const large = run("large", { bytes: 50, signal: controller.signal });
    const small = run("small", { bytes: 5 });
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

  test("removes the jobs of a cancelled call together: none of them starts in the room of another", async () => {
    const { clock, pool, started, run } = setUp({ maxBytes: 100 });
    const controller = new AbortController();
    const running = run("running", { bytes: 60 });
    // The first does not fit in the remaining room, the second does.
    const works = ["large", "fitting"].map((name, index) =>
      run(name, { bytes: 50 - 20 * index, caller: "cancelled", signal: controller.signal }),
    );
    await clock.advance(0);
    controller.abort("gone");
    expect(
      (await Promise.allSettled(works)).map((work) => work.status === "rejected" && work.reason),
    ).toEqual(["gone", "gone"]);
    expect(started).toEqual(["running"]);
    await clock.runAll();
    await running;
    expect(pool.size).toBe(0);
  });

  test("keeps the room of a cancelled running job until it ends, and drops its result", async () => {
    const { clock, pool, run } = setUp();
    const controller = new AbortController();
    const work = run("a", { bytes: 60, keptBytes: 60, signal: controller.signal });
    const rejected = expect(work).rejects.toBe("gone");
    await clock.advance(5);
    controller.abort("gone");
    expect(pool.heldBytes).toBe(60);
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
    expect(pool.heldBytes).toBe(0);
    expect(pool.size).toBe(0);
  });

  test("releases the room of a failed job", async () => {
    const { clock, pool, run } = setUp();
    const rejected = expect(run("a", { bytes: 60, fails: true })).rejects.toThrow("a is damaged");
    await clock.runAll();
    await rejected;
    expect(pool.heldBytes).toBe(0);
  });
});
