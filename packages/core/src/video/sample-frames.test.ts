import { describe, expect, test } from "vitest";
import { sampleFrames } from "./sample-frames.js";

const LIMITS = { temporalPatchSize: 2, fps: 2, minFrames: 4, maxFrames: 768 };

describe("stride: the frames that Qwen2VLVideoProcessor of transformers 5.17 samples", () => {
  const limits = { ...LIMITS, sampling: "stride" } as const;

  test.each([
    [{ frames: 10, fps: 5 }, {}, [0, 2, 5, 7]],
    [{ frames: 48, fps: 24 }, { fps: 2 }, [0, 12, 24, 36]],
    [{ frames: 100, fps: 25 }, { fps: 1.5 }, [0, 16, 33, 50, 66, 83]],
    [{ frames: 7, fps: 30 }, {}, [0, 1, 3, 5]],
    [{ frames: 3, fps: 10 }, {}, [0, 1]],
    [{ frames: 90, fps: 30 }, { numFrames: 9 }, [0, 11, 22, 33, 45, 56, 67, 78]],
    [{ frames: 90, fps: 30 }, { numFrames: 10 }, [0, 9, 18, 27, 36, 45, 54, 63, 72, 81]],
  ])("%j %j", (clip, sampling, expected) => {
    expect(sampleFrames(clip, sampling, limits)).toEqual(expected);
  });

  test("the first frame of a part is exact despite rounding in float64", () => {
    // 46 frames of 52: 23 · (52 / 46) is 25.999… in float64.
    expect(sampleFrames({ frames: 52, fps: 10 }, { fps: 9 }, limits)[23]).toBe(26);
  });

  test("long clips end at the limit, within the clip", () => {
    const indices = sampleFrames({ frames: 1000, fps: 0.5 }, {}, limits);
    expect([indices.length, ...indices.slice(-3)]).toEqual([768, 996, 997, 998]);
  });

  test("a clip shorter than a temporal patch yields one frame, which is repeated to fill the patch", () => {
    expect(sampleFrames({ frames: 1, fps: 10 }, {}, limits)).toEqual([0]);
    expect(sampleFrames({ frames: 9, fps: 10 }, { numFrames: 1 }, limits)).toEqual([0]);
  });

  test("a request for more frames than the clip has is refused", () => {
    expect(() => sampleFrames({ frames: 7, fps: 10 }, { numFrames: 10 }, limits)).toThrow(
      "numFrames gives 10 frames, and the clip has 7: ask for fewer frames",
    );
  });
});

test("spread: from the first frame to the last", () => {
  const limits = { ...LIMITS, sampling: "spread" } as const;
  expect(sampleFrames({ frames: 10, fps: 5 }, {}, limits)).toEqual([0, 3, 6, 9]);
  expect(sampleFrames({ frames: 3, fps: 10 }, { numFrames: 5 }, limits)).toEqual([0, 0, 1, 2, 2]);
});
