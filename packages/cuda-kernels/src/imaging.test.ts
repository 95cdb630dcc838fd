import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cmykToRgb, patchifyFrames, RESIZE_FILTERS, resizeFrame } from "./imaging.js";
import { referencePatchify, referenceResize } from "./testing/imaging-reference.js";

/** Bytes without a pattern that a mistake in an index could leave as it is. */
function noise(length: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

async function failure(work: Promise<unknown>): Promise<VitgraphError> {
  const error = await work.then(
    () => expect.unreachable("it succeeded"),
    (reason: unknown) => reason,
  );
  if (!VitgraphError.is(error)) throw error;
  return error;
}

const side = fc.integer({ min: 1, max: 70 });
const size = fc.record({ height: side, width: side });

describe("resizeFrame", () => {
  test.each(RESIZE_FILTERS)(
    "%s is the sum of fixed-point weights along each axis, rounded between them",
    async (filter) => {
      await fc.assert(
        fc.asyncProperty(size, size, fc.nat(), async (from, to, seed) => {
          const rgb = noise(from.height * from.width * 3, seed);
          expect(await resizeFrame(rgb, from, to, filter)).toEqual(referenceResize(rgb, from, to, filter));
        }),
        { numRuns: 60 },
      );
    },
  );

  test("leaves an image of the wanted size as it is, byte by byte", async () => {
    const rgb = noise(31 * 47 * 3);
    expect(await resizeFrame(rgb, { height: 31, width: 47 }, { height: 31, width: 47 })).toEqual(rgb);
  });

  test("keeps one colour one colour, whatever the sizes", async () => {
    const colour = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(size, size, colour, async (from, to, levels) => {
        const filled = ({ height, width }: typeof from) =>
          Uint8Array.from({ length: height * width * 3 }, (_, i) => levels[i % 3] as number);
        expect(await resizeFrame(filled(from), from, to)).toEqual(filled(to));
      }),
      { numRuns: 60 },
    );
  });

  test("antialiases: shrinking a fine checkerboard gives grey, not one of its colours", async () => {
    const board = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => {
      const pixel = Math.floor(i / 3);
      return ((pixel % 64) + Math.floor(pixel / 64)) % 2 === 0 ? 0 : 255;
    });
    const small = await resizeFrame(board, { height: 64, width: 64 }, { height: 8, width: 8 });
    for (const level of small.subarray(3 * 8 * 3, 5 * 8 * 3)) expect(Math.abs(level - 127.5)).toBeLessThan(8);
  });

  test("runs off this thread: many at once give what each gives alone", async () => {
    const from = { height: 120, width: 90 };
    const to = { height: 64, width: 64 };
    const images = Array.from({ length: 16 }, (_, seed) => noise(120 * 90 * 3, seed));
    const together = await Promise.all(images.map((rgb) => resizeFrame(rgb, from, to)));
    for (const [index, rgb] of images.entries())
      expect(together[index]).toEqual(await resizeFrame(rgb, from, to));
  });

  test("refuses sizes that are none, and bytes that do not fit them", async () => {
    const two = { height: 2, width: 2 };
    const zero = await failure(resizeFrame(noise(12), two, { height: 0, width: 2 }));
    expect(zero.code).toBe("VG_ARGUMENT_INVALID");
    expect(zero.message).toBe("to.height is 0: give a whole number from 1 to 16777216");
    const short = await failure(resizeFrame(noise(11), two, two));
    expect(short.message).toBe(
      "rgb has 11 bytes, but 2 × 2 pixels of RGB are 12: pass red, green and blue bytes of every pixel",
    );
  });
});

describe("patchifyFrames", () => {
  const layouts = fc.record({
    patchSize: fc.integer({ min: 1, max: 5 }),
    mergeSize: fc.integer({ min: 1, max: 3 }),
    temporalPatchSize: fc.integer({ min: 1, max: 3 }),
  });
  const few = fc.integer({ min: 1, max: 4 });

  test("puts every byte where transformers' transposition does, repeating the last frame", async () => {
    await fc.assert(
      fc.asyncProperty(
        layouts,
        few,
        few,
        fc.integer({ min: 1, max: 5 }),
        async (layout, rows, columns, count) => {
          const block = layout.patchSize * layout.mergeSize;
          const frameSize = { height: rows * block, width: columns * block };
          const bytes = frameSize.height * frameSize.width * 3;
          const frames = Array.from({ length: count }, (_, seed) => noise(bytes, seed + 1));
          const pixels = await patchifyFrames(frames, frameSize, layout);
          expect(pixels).toEqual(referencePatchify(frames, frameSize, layout));
        },
      ),
      { numRuns: 60 },
    );
  });

  test("of a still image is a permutation of its bytes", async () => {
    const layout = { patchSize: 16, mergeSize: 2, temporalPatchSize: 1 };
    const rgb = noise(64 * 96 * 3);
    const pixels = await patchifyFrames([rgb], { height: 64, width: 96 }, layout);
    expect(pixels).not.toEqual(rgb);
    expect(pixels.slice().sort()).toEqual(rgb.slice().sort());
  });

  test("after a resize is the patches of the resized frames", async () => {
    const layout = { patchSize: 8, mergeSize: 2, temporalPatchSize: 2 };
    const from = { height: 50, width: 70 };
    const to = { height: 48, width: 64 };
    const frames = [noise(50 * 70 * 3, 1), noise(50 * 70 * 3, 2)];
    const resized = await Promise.all(frames.map((rgb) => resizeFrame(rgb, from, to)));
    const together = await patchifyFrames(frames, from, { ...layout, resizeTo: to });
    expect(together).toEqual(await patchifyFrames(resized, to, layout));
  });

  test("refuses what cannot be cut, no frames, and frames of the wrong length", async () => {
    const layout = { patchSize: 16, mergeSize: 2, temporalPatchSize: 2 };
    const size = { height: 32, width: 48 };
    expect((await failure(patchifyFrames([noise(32 * 48 * 3)], size, layout))).message).toBe(
      "a frame of 48 × 32 pixels cannot be cut into blocks of 32 × 32: resize it to multiples of 32",
    );
    const square = { height: 32, width: 32 };
    expect((await failure(patchifyFrames([], square, layout))).message).toBe(
      "there are no frames: pass at least one",
    );
    const frames = [noise(32 * 32 * 3), noise(7)];
    expect((await failure(patchifyFrames(frames, square, layout))).fact).toMatch(/^frame 1 has 7 bytes/);
    const noMerge = { ...layout, mergeSize: 0 };
    expect((await failure(patchifyFrames(frames, square, noMerge))).fact).toBe("mergeSize is 0");
  });
});

describe("cmykToRgb", () => {
  test("darkens each colour by its ink and by black", async () => {
    const cmyk = Uint8Array.of(
      0,
      0,
      0,
      0,
      255,
      0,
      0,
      0,
      0,
      255,
      128,
      0,
      10,
      20,
      30,
      255,
      0,
      0,
      0,
      100,
      128,
      64,
      0,
      51,
    );
    // (255 - k) - c · (255 - k) / 255, rounded
    expect([...(await cmykToRgb(cmyk))]).toEqual(
      [
        [255, 255, 255],
        [0, 255, 255],
        [255, 0, 127],
        [0, 0, 0],
        [155, 155, 155],
        [102, 153, 204],
      ].flat(),
    );
  });

  test("refuses bytes that are not whole pixels", async () => {
    expect((await failure(cmykToRgb(noise(7)))).message).toBe(
      "cmyk has 7 bytes, which are not whole pixels: pass 4 bytes for each pixel",
    );
  });
});
