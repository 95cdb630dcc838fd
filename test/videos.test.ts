/**
 * Clips from files, against transformers 5.17: sampled frames, timestamps, grid and pixels. The expected values are of
 * Qwen3VLVideoProcessor over the frames that PyAV (GIF and WebP: Pillow) decodes, turned as the container says; those of other
 * families are made by `fixtures/make_videos.py`.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  compareWithReference,
  EncoderEngine,
  loadModel,
  openClip,
  type PixelItem,
  type Raster,
  readVideoProcessor,
  SafetensorsFile,
  sampleFrames,
} from "@vitgraph/core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fixture, readFloats, readGrids, TINY } from "./fixtures.js";

interface ExpectedClip {
  /** Default: Qwen3-VL. */
  readonly model?: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly file: string;
  readonly sampling: { readonly fps?: number; readonly numFrames?: number };
  readonly frames: number;
  readonly fps: number;
  readonly indices: readonly number[];
  readonly timestamps?: readonly number[];
  readonly grid: readonly [t: number, h: number, w: number];
  /** Of the uint8 patches. */
  readonly sha256: string;
  /** Red, green, blue of each temporal patch. */
  readonly means?: readonly (readonly number[])[];
}

const readList = async <T>(name: string) => JSON.parse(await readFile(fixture(name), "utf8")) as readonly T[];

const CLIPS = [
  ...(await readList<ExpectedClip>("videos/clips.json")),
  ...(await readList<ExpectedClip>("videos/family-clips.json")),
];
/** ffmpeg's conversion of YUV differs in last bits from version to version. */
const LOSSY = ["h264.mp4", "turned.mp4"];
const MEAN_TOLERANCE = 0.5;
const NEEDS_FFMPEG = /\.(mkv|mp4)$/;

const QWEN3_VL = "qwen3_vl";
const processor = readVideoProcessor(undefined, QWEN3_VL)!;
const hasFfmpeg = spawnSync("ffmpeg", ["-version"]).status === 0;
if (!hasFfmpeg)
  console.warn("SKIPPED: ffmpeg is not installed, and clips other than GIF and WebP are not tested");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vitgraph-videos-"));
});
afterAll(() => rm(folder, { recursive: true }));

for (const expected of CLIPS) {
  const { model = QWEN3_VL, settings } = expected;
  const name = `${model} ${JSON.stringify(settings ?? {})}: ${expected.file} ${JSON.stringify(expected.sampling)}`;
  test.skipIf(NEEDS_FFMPEG.test(expected.file) && !hasFfmpeg)(name, async () => {
    const bytes = new Uint8Array(await readFile(fixture(`videos/${expected.file}`)));
    await using clip = await openClip(bytes, readVideoProcessor(settings, model)!, expected.sampling);
    const item = await clip.decode();
    expect(clip.info).toMatchObject({ frames: expected.frames, fps: expected.fps });
    expect(clip.indices).toEqual(expected.indices);
    if (expected.timestamps !== undefined) expect(clip.timestamps).toEqual(expected.timestamps);
    const [t, h, w] = expected.grid;
    expect(item).toMatchObject({ format: "u8", grid: { t, h, w } });
    if (!LOSSY.includes(expected.file)) expect(sha256(item)).toBe(expected.sha256);
    if (expected.means === undefined) return;
    for (const [patch, colours] of meansOf(item).entries()) {
      for (const [channel, mean] of colours.entries()) {
        expect(Math.abs(mean - (expected.means[patch]?.[channel] as number))).toBeLessThan(MEAN_TOLERANCE);
      }
    }
  });
}

test("frames of as many seconds as max_duration says are spread over a longer clip", () => {
  const sampled = (settings: Record<string, unknown>, model: string) =>
    sampleFrames({ frames: 100, fps: 10 }, {}, readVideoProcessor(settings, model)!);
  expect(sampled({ max_duration: 0 }, "glm5_next")).toHaveLength(20);
  expect(sampled({ max_duration: 5 }, "glm5_next")).toEqual([0, 11, 22, 33, 44, 55, 66, 77, 88, 99]);
  expect(sampled({ max_duration: 5 }, "glm4v")).toEqual([0, 12, 23, 34, 45, 56, 67, 78, 89, 99]);
});

test("frames of MiniMax-M3 are at least a second apart, and beyond the limit in equal steps", () => {
  const sampled = (frames: number, fps: number, settings: Record<string, unknown> = {}) =>
    sampleFrames({ frames, fps }, {}, readVideoProcessor(settings, "minimax_m3_vl")!);
  expect(sampled(100, 29.97)).toEqual([0, 30, 60, 90, 99]);
  expect(sampled(1, 10)).toEqual([0]);
  expect(sampled(9000, 10)).toHaveLength(768);
  expect(sampled(9000, 10, { max_frames: 4 })).toEqual([0, 2999, 5999, 8999]);
  expect(sampled(1e12, 10)).toHaveLength(768);
});

test("a long clip of Kimi-K2.5 has 768 frames, or as many as its file says", () => {
  const sampled = (settings: Record<string, unknown>) =>
    sampleFrames({ frames: 9000, fps: 10 }, {}, readVideoProcessor(settings, "kimi_k25")!);
  expect(sampled({})).toHaveLength(768);
  expect(sampled({ max_frames: 4 })).toEqual([0, 2250, 4500, 6750]);
});

interface ExpectedFrames {
  readonly model: string;
  readonly frames: number;
  readonly fps: number;
  readonly sampling: { readonly fps?: number; readonly numFrames?: number };
  readonly sampled: number;
  /** Of each frame's number times its place, from 1. */
  readonly sum: number;
}

test.each(await readList<ExpectedFrames>("videos/family-frames.json"))(
  "$model samples $sampled of $frames frames at $fps a second, asked for $sampling",
  ({ model, frames, fps, sampling, sampled, sum }) => {
    const processor = readVideoProcessor(undefined, model)!;
    const indices = sampleFrames({ frames, fps }, sampling, processor);
    // transformers has no limit for some families.
    expect(indices).toHaveLength(Math.min(sampled, processor.maxFrames));
    if (sampled > processor.maxFrames) return;
    expect(indices.reduce((total, index, at) => total + index * (at + 1), 0)).toBe(sum);
  },
);

test.each([
  "gemma4",
  "gemma4-unified",
  "glm4v",
  "glm-ocr",
  "glm5-next",
  "internvl",
  "internvl-chat",
  "kimi-k25",
  "llava-onevision",
  "llava-next-video",
  "llava-onevision1-5",
  "minicpmv4-6",
  "minimax-m3",
  "muse-glimmer",
  "smolvlm",
])("a clip has the reference's embedding: %s", async (family) => {
  const directory = fixture(`models/${family}-tiny`);
  await using engine = await EncoderEngine.create({
    model: directory,
    devices: [{ backend: "cpu" }],
    maxBatchTokens: 256,
  });
  const video = new Uint8Array(await readFile(fixture("videos/animated.gif")));
  const image = await readFile(fixture("models/images/image2_330x100_RGB.png"));
  await using clip = await openClip(video, engine.model.videoProcessor!);
  const frames = await framesOf(video, clip.indices);
  await using file = await SafetensorsFile.open(join(directory, "video.safetensors"));
  const [grid] = await readGrids(file, "grid_thw");
  const expected = await readFloats(file, "output");
  // From the file and from its frames, together with an image.
  const [ofFile, ofImage, ofFrames] = await engine.encode([{ video }, { image }, { frames }]);
  expect(ofImage?.status).toBe("fulfilled");
  const specs = await engine.getItemSpecs([{ video }, { image }, { frames }, await clip.decode()]);
  // An image is one frame of a batch, whether it becomes tiles or not.
  expect(specs.map((spec) => spec.status === "fulfilled" && spec.value.frames)).toEqual([
    grid!.t,
    1,
    grid!.t,
    grid!.t,
  ]);
  for (const outcome of [ofFile, ofFrames]) {
    if (outcome?.status !== "fulfilled") throw outcome?.reason;
    expect(outcome.value.grid).toMatchObject(grid!);
    expect(outcome.value.data).toHaveLength(expected.length);
    expect(compareWithReference(outcome.value.data, expected).relativeL2).toBeLessThanOrEqual(1e-5);
  }
});

test("a clip of frames that become slices has the rows of its frames as images, one frame after the other", async () => {
  // In place of what the checkpoint's files for images and for videos say.
  const mmProcessorKwargs = { scale_resolution: 112, max_slice_nums: 3 };
  await using model = await loadModel(fixture("models/minicpmv4-6-tiny"), { mmProcessorKwargs });
  await using engine = await EncoderEngine.create({
    model,
    devices: [{ backend: "cpu" }],
    maxBatchTokens: 256,
  });
  const frames = [1, 2, 3].map((seed) => {
    const rgb = Uint8Array.from({ length: 130 * 260 * 3 }, (_, at) => (seed * at * at) % 251);
    return { rgb, width: 260, height: 130 };
  });
  const [clip, ...images] = await engine.encode([{ frames }, ...frames.map((raster) => ({ raster }))]);
  if (clip?.status !== "fulfilled") throw clip?.reason;
  expect(clip.value.grid).toEqual({ t: 3, h: 4, w: 12, next: { t: 6, h: 8, w: 8 }, isClip: true });
  const rows = images.flatMap((image) => (image.status === "fulfilled" ? [...image.value.data] : []));
  expect(compareWithReference(clip.value.data, Float32Array.from(rows)).relativeL2).toBeLessThanOrEqual(1e-6);
});

test.each([
  [
    "glm4v",
    { numFrames: 4 },
    "numFrames is 4, and this model samples clips by time: give fps, or pass the frames",
  ],
  [
    "minimax_m3_vl",
    { numFrames: 4 },
    "numFrames is 4, and this model samples clips by time: give fps, or pass the frames",
  ],
  [
    "minicpmv4_6",
    { numFrames: 4 },
    "numFrames is 4, and this model samples clips by time: leave it out, or pass the frames",
  ],
  ["glm46v", { fps: 2 }, "fps is 2, and this model samples clips by time: leave it out, or pass the frames"],
])("%s refuses %o", (model, sampling, message) => {
  const ask = () => sampleFrames({ frames: 30, fps: 10 }, sampling, readVideoProcessor(undefined, model)!);
  expect(ask).toThrow(message);
});

test("a checkpoint's sampling settings hold where a call says nothing", async () => {
  const video = new Uint8Array(await readFile(fixture("videos/animated.gif")));
  const frames = async (settings: Record<string, unknown>, sampling = {}) => {
    await using clip = await openClip(video, readVideoProcessor(settings, "qwen3_vl")!, sampling);
    return clip.indices.length;
  };
  const all = await frames({ fps: 1000 });
  expect(all).toBeGreaterThan(4);
  expect(await frames({ fps: 1000, max_frames: 3 })).toBe(3);
  expect(await frames({ fps: 0.001, min_frames: 2 })).toBe(2);
  expect(await frames({ fps: 0.001, min_frames: 2 }, { fps: 1000 })).toBe(all);
});

test("the engine takes a file's bytes, and gives what its frames alone give", async () => {
  const video = new Uint8Array(await readFile(fixture("videos/animated.gif")));
  await using engine = await EncoderEngine.create({
    model: TINY,
    devices: [{ backend: "cpu" }],
    maxBatchTokens: 512,
  });
  await using clip = await openClip(video, engine.model.videoProcessor!, { fps: 4 });
  const [outcome, ready, refused] = await engine.encode([
    { video, fps: 4 },
    await clip.decode(),
    { video: new Uint8Array(100) },
  ]);
  if (outcome?.status !== "fulfilled" || ready?.status !== "fulfilled") throw outcome;
  expect(outcome.value.grid).toEqual(clip.grid);
  const { relativeL2 } = compareWithReference(outcome.value.data, ready.value.data);
  expect(relativeL2).toBeLessThan(1e-5);
  expect(refused).toMatchObject({
    status: "rejected",
    reason: { code: hasFfmpeg ? "VG_VIDEO_INVALID" : "VG_VIDEO_DECODER_MISSING" },
  });
  expect((await engine.getItemSpecs([{ video, fps: 4 }]))[0]).toMatchObject({
    status: "fulfilled",
    value: { outputTokens: outcome.value.tokens },
  });
});

describe.skipIf(!hasFfmpeg)("clips that are refused", () => {
  const refusal = (source: string | Uint8Array, options = {}) =>
    openClip(source, processor, options).then(
      () => undefined,
      (error: { code: string; message: string }) => error,
    );

  test("bytes that are no video, without the temporary file's name", async () => {
    const error = await refusal(new Uint8Array(100));
    expect(error?.code).toBe("VG_VIDEO_INVALID");
    expect(error?.message).toMatch(/^ffprobe cannot read the clip \(the clip: Invalid data/);
  });

  test("a playlist that names another file, or an address", async () => {
    const other = join(folder, "other.mp4");
    await writeFile(other, await readFile(fixture("videos/h264.mp4")));
    for (const playlist of [
      `ffconcat version 1.0\nfile '${other}'\n`,
      `#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n${other}\n#EXT-X-ENDLIST\n`,
      "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    ]) {
      expect(await refusal(new TextEncoder().encode(playlist)), playlist).toMatchObject({
        code: "VG_VIDEO_INVALID",
      });
    }
  });

  test("a file that lost its end after it was opened, at the frame where it ends", async () => {
    const whole = await readFile(fixture("videos/rgb.mkv"));
    const cut = join(folder, "cut.mkv");
    await writeFile(cut, whole);
    await using clip = await openClip(cut, processor, { numFrames: 4 });
    expect(clip.indices).toEqual([0, 6, 13, 19]);
    await writeFile(cut, whole.subarray(0, whole.length / 2));
    await expect(clip.decode()).rejects.toMatchObject({
      code: "VG_VIDEO_INVALID",
      fact: "the clip ends before frame 13, and frames up to 19 were asked for",
    });
  });

  test("frames above the pixel limit", async () => {
    const error = await refusal(fixture("videos/h264.mp4"), { maxPixels: 1000 });
    expect(error).toMatchObject({ code: "VG_IMAGE_TOO_LARGE" });
  });

  test("a call that was cancelled, and nothing stays in the temporary folder", async () => {
    const before = (await readdir(tmpdir())).filter((name) => name.startsWith("vitgraph-clip-"));
    const bytes = new Uint8Array(await readFile(fixture("videos/h264.mp4")));
    const controller = new AbortController();
    const opening = openClip(bytes, processor, { signal: controller.signal });
    controller.abort(new Error("gone"));
    await expect(opening).rejects.toThrow("gone");
    const after = (await readdir(tmpdir())).filter((name) => name.startsWith("vitgraph-clip-"));
    expect(after).toEqual(before);
  });

  test("a rate and a count at once, and impossible ones", async () => {
    const clip = fixture("videos/h264.mp4");
    const messages = [{ fps: 1, numFrames: 4 }, { fps: 0 }, { numFrames: 1.5 }, { numFrames: 100_000 }];
    const found = await Promise.all(messages.map((sampling) => refusal(clip, sampling)));
    expect(found.map((error) => error?.message)).toEqual([
      "both fps (1) and numFrames (4) are given: give one of them",
      "fps is 0: give a positive number of frames per second",
      "numFrames is 1.5: give a positive whole number",
      "numFrames is 100000, above the limit of 768: ask for fewer frames",
    ]);
  });
});

test.each(["animated.gif", "animated.webp"])(
  "a path has the frames of its file's bytes: %s",
  async (name) => {
    await using ofPath = await openClip(fixture(`videos/${name}`), processor, { numFrames: 8 });
    await using ofBytes = await openClip(await readFile(fixture(`videos/${name}`)), processor, {
      numFrames: 8,
    });
    expect(ofPath.info).toEqual(ofBytes.info);
    expect(await ofPath.decode()).toEqual(await ofBytes.decode());
  },
);

test.skipIf(!hasFfmpeg)("a path is a file's, whatever ffmpeg would make of its name", async () => {
  const workingDirectory = process.cwd();
  process.chdir(folder);
  try {
    for (const name of ["12:30.mkv", "-v.mkv", "http:a.mkv"]) {
      await copyFile(fixture("videos/rgb.mkv"), join(folder, name));
      await using clip = await openClip(name, processor, { numFrames: 4 });
      expect((await clip.decode()).grid.t).toBe(2);
    }
  } finally {
    process.chdir(workingDirectory);
  }
});

test("without ffmpeg the error says how to get it", async () => {
  const path = process.env.PATH;
  process.env.PATH = folder;
  try {
    await expect(openClip(fixture("videos/h264.mp4"), processor)).rejects.toMatchObject({
      code: "VG_VIDEO_DECODER_MISSING",
      remedy: "install ffmpeg (apt install ffmpeg, brew install ffmpeg), or pass the frames of the clip",
    });
  } finally {
    process.env.PATH = path;
  }
});

async function framesOf(animation: Uint8Array, indices: readonly number[]): Promise<readonly Raster[]> {
  const image = sharp(animation, { pages: -1 });
  const { width = 0, pageHeight: height = 0 } = await image.metadata();
  const data = await image.flatten().raw().toBuffer();
  const bytes = width * height * 3;
  return indices.map((index) => ({
    rgb: new Uint8Array(data.subarray(index * bytes, (index + 1) * bytes)),
    width,
    height,
  }));
}

function sha256({ pixels }: PixelItem): string {
  return createHash("sha256").update(pixels).digest("hex");
}

/** Over the patches [rows, channels, temporal, patch, patch]. */
function meansOf({ grid, pixels }: PixelItem): readonly (readonly number[])[] {
  const rowsBytes = pixels.length / (grid.t * grid.h * grid.w);
  const channelBytes = rowsBytes / 3;
  return Array.from({ length: grid.t }, (_, t) => {
    const sums = [0, 0, 0];
    const start = t * grid.h * grid.w * rowsBytes;
    const count = grid.h * grid.w * rowsBytes;
    for (let at = 0; at < count; at++) {
      const channel = Math.floor((at % rowsBytes) / channelBytes);
      sums[channel] = (sums[channel] as number) + (pixels[start + at] as number);
    }
    return sums.map((sum) => sum / (count / 3));
  });
}
