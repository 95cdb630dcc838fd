import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Scheduler, Sequence, type Step } from "./scheduler.js";
import { cellsOf, type MediaUnit, sum, type Unit } from "./units.js";

const image = (key: string, count: number, span = Math.ceil(Math.sqrt(count))): MediaUnit => ({
  key,
  count,
  span,
  rows: new Float32Array(count),
});
const shape = ({ kind, chunks }: Step<Sequence>) => `${kind} ${chunks.map(({ count }) => count).join("+")}`;

function scheduler(options: Partial<ConstructorParameters<typeof Scheduler>[0]> = {}) {
  return new Scheduler<Sequence>({ slots: 2, batchTokens: 8, wholeMedia: false, ...options });
}

/** Runs until every sequence has its number of tokens; returns the steps as text. */
function runAll(all: Scheduler<Sequence>, sequences: readonly Sequence[], answerTokens: number): string[] {
  const left = new Map(sequences.map((sequence) => [sequence, answerTokens]));
  const steps: string[] = [];
  for (const sequence of sequences) all.add(sequence);
  while (left.size > 0) {
    all.admit();
    const step = all.schedule();
    if (step === null) throw new Error("nothing to decode");
    steps.push(shape(step));
    all.advance(step);
    for (const { sequence, output } of step.chunks) {
      if (!output) continue;
      const more = (left.get(sequence) as number) - 1;
      left.set(sequence, more);
      if (more > 0) sequence.units.push(1000 + more);
      else {
        left.delete(sequence);
        all.remove(sequence);
      }
    }
  }
  return steps;
}

describe("scheduler", () => {
  test("a long prompt is cut into batches, and tokens that are generated go first", () => {
    const all = scheduler();
    const short = new Sequence([1, 2]);
    const long = new Sequence(Array.from({ length: 20 }, (_, index) => 100 + index));
    expect(runAll(all, [short, long], 4)).toEqual([
      "tokens 2+6",
      "tokens 1+7",
      "tokens 1+7",
      "tokens 1+1",
      "tokens 1",
      "tokens 1",
    ]);
  });

  test("rows and tokens take turns, so that nobody waits for a whole image", () => {
    const all = scheduler();
    const steps = runAll(all, [new Sequence([1]), new Sequence([2, image("a", 20), 3])], 4);
    expect(steps).toEqual([
      "tokens 1+1",
      "rows 8",
      "tokens 1",
      "rows 8",
      "tokens 1",
      "rows 4",
      "tokens 1+1",
      "tokens 1",
      "tokens 1",
      "tokens 1",
    ]);
  });

  test("an image whose rows attend both ways is not cut", () => {
    const all = scheduler({ wholeMedia: true });
    const steps = runAll(all, [new Sequence([1, image("a", 6), 2]), new Sequence([1, image("b", 5), 2])], 1);
    expect(steps.filter((step) => step.startsWith("rows"))).toEqual(["rows 6", "rows 5"]);
  });

  test("text goes on after the largest position of an image", () => {
    const all = scheduler({ slots: 1 });
    const sequence = new Sequence([1, image("a", 6, 3), 2]);
    all.add(sequence);
    all.admit();
    const positions: number[] = [];
    for (let step = all.schedule(); step !== null; step = all.schedule()) {
      positions.push(sequence.position);
      all.advance(step);
    }
    expect(positions).toEqual([0, 1, 4]);
    // Rows in the cache are not held.
    expect(sequence.units[1]).toMatchObject({ key: "a", count: 6, rows: new Float32Array() });
    expect(sequence.position).toBe(5);
  });

  test("the slot with the longest prefix is taken, and its last token computed again", () => {
    const all = scheduler();
    runAll(all, [new Sequence([1, image("a", 3), 2, 3]), new Sequence([9, 8, 7])], 2);
    const other = new Sequence([9, 8, 7]);
    all.add(other);
    all.admit();
    expect(other).toMatchObject({ slot: 1, cached: 2, position: 2 });
    const same = new Sequence([1, image("a", 3), 2, 3, 1001, 1000, 5]);
    all.add(same);
    all.admit();
    // The last token of an answer was drawn and never decoded.
    expect(same).toMatchObject({ slot: 0, reused: 5, position: 6 });
  });

  test("another image of the same size is another prefix", () => {
    const all = scheduler({ slots: 1 });
    runAll(all, [new Sequence([1, image("a", 3), 2])], 1);
    const next = new Sequence([1, image("b", 3), 2]);
    all.add(next);
    all.admit();
    expect(next).toMatchObject({ cached: 1, position: 1 });
  });

  test("a sequence that is removed within an image leaves what was whole", () => {
    const all = scheduler({ slots: 1 });
    const first = new Sequence([1, image("a", 20), 2]);
    all.add(first);
    all.admit();
    for (let steps = 0; steps < 2; steps++) all.advance(all.schedule() as Step<Sequence>);
    expect(first.rows).toBe(8);
    all.remove(first);
    const next = new Sequence([1, image("a", 20), 2]);
    all.add(next);
    all.admit();
    expect(next).toMatchObject({ cached: 1, rows: 0, position: 1 });
  });

  test("callers that wait get slots in turns, and one caller's sequences in their order", () => {
    class Owned extends Sequence {
      constructor(
        readonly name: string,
        override readonly caller: unknown,
      ) {
        super([1, 2, 3]);
      }
    }
    const all = new Scheduler<Owned>({ slots: 1, batchTokens: 8, wholeMedia: false });
    for (const name of ["a1", "a2", "a3", "a4", "b1", "b2"]) all.add(new Owned(name, name[0]));
    const served: string[] = [];
    for (let [next] = all.admit(); next !== undefined; [next] = all.admit()) {
      served.push(next.name);
      all.remove(next);
    }
    expect(served).toEqual(["b1", "a1", "b2", "a2", "a3", "a4"]);
  });

  test("every unit of every sequence is decoded once, in order, in batches within their limit", () => {
    const unit = fc.oneof(
      fc.integer({ min: 0, max: 3 }),
      fc
        .record({ key: fc.constantFrom("a", "b"), count: fc.constantFrom(1, 5, 8, 13) })
        .map(({ key, count }) => image(`${key}${count}`, count)),
    );
    const prompts = fc.array(fc.array(unit, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(
        prompts,
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 9 }),
        (all, slots, batchTokens) => {
          const under = scheduler({ slots, batchTokens });
          const sequences = all.map((units) => new Sequence(units as Unit[]));
          for (const sequence of sequences) under.add(sequence);
          const done = new Map(sequences.map((sequence) => [sequence, 0]));
          while (under.running.length + under.waiting > 0) {
            for (const admitted of under.admit()) {
              done.set(admitted, sum(admitted.units.slice(0, admitted.reused), cellsOf));
            }
            const step = under.schedule() as Step<Sequence>;
            expect(sum(step.chunks, ({ count }) => count)).toBeLessThanOrEqual(batchTokens);
            expect(new Set(step.chunks.map(({ sequence }) => sequence.slot)).size).toBe(step.chunks.length);
            for (const { sequence, count } of step.chunks) {
              expect(typeof sequence.units[sequence.cached] === "number").toBe(step.kind === "tokens");
              done.set(sequence, (done.get(sequence) as number) + count);
            }
            under.advance(step);
            for (const { sequence, output } of step.chunks) if (output) under.remove(sequence);
          }
          for (const sequence of sequences) expect(done.get(sequence)).toBe(sum(sequence.units, cellsOf));
        },
      ),
    );
  });
});
