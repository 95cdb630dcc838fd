import * as fc from "fast-check";
import { expect, test } from "vitest";
import { TextStream } from "./text-stream.js";

function feed(stops: readonly string[], pieces: readonly Uint8Array[]): readonly string[] {
  const stream = new TextStream(stops);
  const texts: string[] = [];
  for (const piece of pieces) {
    texts.push(stream.push(piece));
    if (stream.isStopped) break;
  }
  return [...texts, stream.end()];
}
const bytes = (...texts: readonly string[]) => texts.map((text) => Buffer.from(text));

test("a character that is split over tokens comes with its last byte", () => {
  const [a, b, c] = [Buffer.of(0xe2), Buffer.of(0x82), Buffer.of(0xac)];
  expect(feed([], [a, b, c])).toEqual(["", "", "€", ""]);
  expect(feed([], [a, b])).toEqual(["", "", "\ufffd"]);
});

test("a stop text ends the answer, also across tokens", () => {
  expect(feed(["END"], bytes("a", "bEND", "c"))).toEqual(["a", "b", ""]);
  expect(feed(["END"], bytes("aE", "N", "Dc"))).toEqual(["a", "", "", ""]);
});

test("what could become a stop text is held back, and given out when it does not", () => {
  expect(feed(["END"], bytes("aE", "N", "x"))).toEqual(["a", "", "ENx", ""]);
  expect(feed(["END"], bytes("aEN"))).toEqual(["a", "EN"]);
  expect(feed(["aab"], bytes("aa", "ab"))).toEqual(["", "a", ""]);
});

test("the earliest of several stop texts counts", () => {
  expect(feed(["cd", "b"], bytes("abcd")).join("")).toBe("a");
});

test("whatever the tokens are, the text is that of the whole up to the first stop", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "€", "𝄞"), maxLength: 30 });
  const stop = fc.string({ unit: fc.constantFrom("a", "b", "€"), minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(
      text,
      fc.array(stop, { maxLength: 3 }),
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }),
      (whole, stops, sizes) => {
        const all = Buffer.from(whole);
        const pieces: Uint8Array[] = [];
        for (let at = 0, index = 0; at < all.length; index++) {
          const size = sizes[index % sizes.length] as number;
          pieces.push(all.subarray(at, at + size));
          at += size;
        }
        const ends = stops.map((end) => whole.indexOf(end)).filter((at) => at >= 0);
        expect(feed(stops, pieces).join("")).toBe(whole.slice(0, Math.min(whole.length, ...ends)));
      },
    ),
  );
});
