import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { requireAddon } from "./native.js";
import { decodeValues, encodeValues, roundValues } from "./testing/element-values.js";
import { convertFloats, foldNorm, type NormOperands } from "./weights.js";

const FROM = ["f32", "bf16", "f16"] as const;
const TO = ["f32", "bf16"] as const;

/** Reproducible, around `mean`, of a trained weight's size. */
function values(count: number, seed: number, mean = 0): Float32Array {
  let state = Math.imul(seed + 1, 0x9e3779b1);
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return mean + (state / 2 ** 32 - 0.5) * 0.1;
  });
}

const sum = (terms: Iterable<number>) => [...terms].reduce((total, term) => total + term, 0);

describe("convertFloats", () => {
  const special = [
    0,
    -0,
    1,
    -1,
    65504,
    65536,
    1e-8,
    6e-8,
    2 ** -149,
    3.4e38,
    Infinity,
    -Infinity,
    Number.NaN,
  ];
  // Halfway between two bfloat16s, the lower of which is even, and then odd, and just beside them.
  const ties = [1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -23, 1 + 3 * 2 ** -8 - 2 ** -23];

  test.each(FROM.flatMap((from) => TO.map((to) => [from, to] as const)))(
    "%s to %s rounds to nearest, ties to even",
    async (from, to) => {
      // An odd number of them, so that some are behind the last whole vector.
      const bytes = encodeValues(from, [...special, ...ties, ...values(1000, 1)]);
      const expected = roundValues(to, decodeValues(from, bytes));
      expect(decodeValues(to, await convertFloats(bytes, from, to))).toEqual(expected);
    },
  );

  test("every float16 becomes the float32 that it is", async () => {
    const bytes = new Uint8Array(Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits).buffer);
    expect(decodeValues("f32", await convertFloats(bytes, "f16", "f32"))).toEqual(decodeValues("f16", bytes));
  });

  test("reads arrays that begin anywhere, and nothing of none", async () => {
    const bytes = new Uint8Array([9, ...encodeValues("bf16", [1, 2])]).subarray(1);
    expect([...decodeValues("f32", await convertFloats(bytes, "bf16", "f32"))]).toEqual([1, 2]);
    expect(await convertFloats(new Uint8Array(0), "f16", "bf16")).toHaveLength(0);
  });

  test("refuses parts of elements", async () => {
    const error = await convertFloats(new Uint8Array(7), "f16", "f32").catch((error: unknown) => error);
    expect(VitgraphError.is(error) && error.code).toBe("VG_ARGUMENT_INVALID");
    expect((error as Error).message).toMatch(/^bytes has 7 bytes, which are not whole elements of 2/);
  });
});

describe("foldNorm", () => {
  /** What {@link foldNorm} approximates, in float64: the weight before it is rounded to `to`. */
  function oracle(rows: Float64Array, { scale, shift, bias, centred }: NormOperands) {
    const columns = scale.length;
    const weight = rows.map((value, at) => value * scale[at % columns]!);
    const [count, v] = [rows.length / columns, [] as number[]];
    for (let row = 0; row < count; row++) {
      const ofRow = weight.subarray(row * columns, (row + 1) * columns);
      const mean = centred ? sum(ofRow) / columns : 0;
      for (let k = 0; k < columns; k++) ofRow[k]! -= mean;
      v.push(
        (bias?.[row] ?? 0) +
          sum(rows.subarray(row * columns, (row + 1) * columns).map((w, k) => w * (shift?.[k] ?? 0))),
      );
    }
    return { weight, v };
  }

  const operands = fc.record({
    rows: fc.integer({ min: 0, max: 5 }),
    columns: fc.integer({ min: 1, max: 70 }),
    seed: fc.nat(),
    mean: fc.constantFrom(0, 1, 100),
    centred: fc.boolean(),
    hasShift: fc.boolean(),
    hasBias: fc.boolean(),
  });

  test.each(FROM.flatMap((from) => TO.map((to) => [from, to] as const)))(
    "of %s to %s is γ ⊙ W less the mean, its sums as stored, and β · Wᵀ + bias",
    async (from, to) => {
      await fc.assert(
        fc.asyncProperty(operands, async ({ rows, columns, seed, mean, centred, hasShift, hasBias }) => {
          const bytes = encodeValues(from, values(rows * columns, seed, mean));
          const norm = {
            scale: values(columns, seed + 1, 1),
            shift: hasShift ? values(columns, seed + 2, 0.5) : undefined,
            bias: hasBias ? values(rows, seed + 3) : undefined,
            centred,
          };
          const folded = await foldNorm(bytes, from, norm, to);
          const expected = oracle(decodeValues(from, bytes), norm);
          const stored = decodeValues(to, folded.weight);
          expect(stored).toHaveLength(rows * columns);
          // A float32 rounding of γ · w, at most 1.05 · (mean + 0.05), and one of what is stored: half a unit of the last place.
          const product = 2 ** -24 * 1.05 * (mean + 0.05);
          const unit = to === "bf16" ? 2 ** -8 : 2 ** -24;
          for (const [at, value] of stored.entries()) {
            const wanted = expected.weight[at]!;
            // The mean of rounded products has their error, too.
            expect(Math.abs(value - wanted)).toBeLessThanOrEqual(
              3 * product + unit * 1.01 * Math.abs(wanted),
            );
          }
          for (let row = 0; row < rows; row++) {
            // Sums are float64, and rounded once: with another order of them, half a unit may become a whole one.
            const u = sum(stored.subarray(row * columns, (row + 1) * columns));
            expect(Math.abs(folded.u[row]! - u)).toBeLessThanOrEqual(2 ** -23 * Math.abs(u) + 1e-12);
            const v = expected.v[row]!;
            expect(Math.abs(folded.v[row]! - v)).toBeLessThanOrEqual(2 ** -23 * Math.abs(v) + 1e-12);
          }
        }),
        { numRuns: 40 },
      );
    },
  );

  test("runs off this thread: many at once give what each gives alone", async () => {
    const norm = { scale: values(300, 1, 1), centred: true };
    const slices = Array.from({ length: 16 }, (_, seed) => encodeValues("bf16", values(300 * 40, seed)));
    const fold = (rows: Uint8Array) => foldNorm(rows, "bf16", norm, "bf16");
    const together = await Promise.all(slices.map(fold));
    for (const [index, rows] of slices.entries()) expect(together[index]).toEqual(await fold(rows));
  });

  test.each([
    [{ weight: new Uint8Array(23) }, "weight has 23 bytes, which are not whole rows of 12"],
    [{ scale: new Uint8Array(8) }, "scale has 8 bytes, but the sizes given make it 12"],
    [{ shift: new Uint8Array(16) }, "shift has 16 bytes, but the sizes given make it 12"],
    [{ bias: new Uint8Array(12) }, "bias has 12 bytes, but the sizes given make it 8"],
    [{ weight: [1] }, "weight is not a Uint8Array"],
    [{ columns: 0 }, "columns is 0"],
    [{ columns: 1.5 }, "columns is not a whole number from 0 to 1073741824"],
    [{ from: "i32" }, "from is i32"],
    [{ to: "f16" }, "to is f16"],
    [{ to: undefined }, "to is not a string"],
  ])("refuses %o", (wrong, message) => {
    const request = {
      weight: new Uint8Array(24),
      from: "f32",
      to: "f32",
      columns: 3,
      centred: true,
      scale: new Uint8Array(12),
    };
    const call = () => requireAddon("cpu").foldNorm({ ...request, ...wrong } as typeof request);
    expect(call).toThrow(message);
  });
});
