/** Clips that ffmpeg makes here with its own encoders: what the container says is not always what the decoder gives. */
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readVideoProcessor } from "../models/index.js";
import { decodeFrames, probeClip } from "./ffmpeg.js";
import { openClip } from "./open-clip.js";
import { LARGEST_MAX_FRAMES } from "./sample-frames.js";

const fixture = (name: string) =>
  fileURLToPath(new URL(`../../../../test/fixtures/videos/${name}`, import.meta.url));
const hasFfmpeg = spawnSync("ffmpeg", ["-version"]).status === 0;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vitgraph-ffmpeg-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** @param args of ffmpeg, without the output */
function make(name: string, ...args: readonly string[]): string {
  const path = join(folder, name);
  const { stderr, status } = spawnSync("ffmpeg", ["-v", "error", "-nostdin", ...args, path]);
  if (status !== 0) throw new Error(`${stderr}`);
  return path;
}

const source = (filter: string) => ["-f", "lavfi", "-i", filter];

async function allFrames(path: string) {
  const info = await probeClip(path);
  const frames: Uint8Array[] = [];
  const indices = Array.from({ length: info.frames }, (_, index) => index);
  for await (const frame of decodeFrames(path, info, indices)) frames.push(frame);
  return { info, frames };
}

describe.skipIf(!hasFfmpeg)("ffmpeg", () => {
  test("packets before the start of an edit list are not frames", async () => {
    const whole = make("whole.mp4", ...source("testsrc2=s=32x32:r=10:d=2"), "-c:v", "mpeg4", "-g", "5");
    const cut = make("cut.mp4", "-ss", "0.75", "-i", whole, "-c", "copy");
    expect((await allFrames(cut)).frames).toHaveLength(12);
  });

  test("VP8's reference frames that are never shown are not frames", async () => {
    // 21 packets: testsrc2=s=16x16:r=10:d=2, libvpx with -auto-alt-ref 1 -lag-in-frames 10 in two passes.
    expect((await allFrames(fixture("hidden.webm"))).frames).toHaveLength(20);
  });

  test("frames after a change of size have the size of the first", async () => {
    const parts = ["96x64", "32x48"].map((size) =>
      make(`${size}.ts`, ...source(`testsrc2=s=${size}:r=10:d=1`), "-c:v", "mpeg4"),
    );
    const path = join(folder, "changing.ts");
    await writeFile(path, Buffer.concat(await Promise.all(parts.map((part) => readFile(part)))));
    const { info, frames } = await allFrames(path);
    expect(frames).toHaveLength(20);
    for (const frame of frames) expect(frame).toHaveLength(96 * 64 * 3);
    // A frame's number counts from the first size on.
    const numbers = [9, 12, 18];
    const chosen: Uint8Array[] = [];
    for await (const frame of decodeFrames(path, info, numbers)) chosen.push(frame);
    expect(chosen).toEqual(numbers.map((number) => frames[number]));
  });

  test("frames above 8K are refused, also by a caller without a limit", async () => {
    const path = make(
      "large.mkv",
      ...source("color=s=8320x4320:r=10:d=0.1"),
      "-frames:v",
      "1",
      "-c:v",
      "png",
    );
    const processor = readVideoProcessor(undefined, "qwen3_vl")!;
    await expect(openClip(path, processor, { maxPixels: Number.MAX_SAFE_INTEGER })).rejects.toMatchObject({
      code: "VG_IMAGE_TOO_LARGE",
      message: "frames of 8320 × 4320 pixels are above the limit of 35389440 pixels: make them smaller",
    });
  });

  test("an interlaced frame's lines keep the colour of their field", async () => {
    const striped = "geq=r='255*mod(Y,2)':g=0:b='255*(1-mod(Y,2))'";
    const filter = `color=s=32x32:r=10:d=1,format=rgb24,${striped},scale=interl=1,format=yuv420p,setfield=tff`;
    const encoder = ["-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-q:v", "1"];
    const { frames } = await allFrames(make("fields.ts", ...source(filter), ...encoder));
    const [first] = frames as [Uint8Array];
    const pixel = (row: number) => [...first.subarray((row * 32 + 16) * 3, (row * 32 + 16) * 3 + 3)];
    const [blue, red] = [pixel(16), pixel(17)] as [number[], number[]];
    expect(blue[2]).toBeGreaterThan(200);
    expect(blue[0]).toBeLessThan(50);
    expect(red[0]).toBeGreaterThan(200);
    expect(red[2]).toBeLessThan(50);
  });

  test("a rotation of less than a degree from a quarter turn is one", async () => {
    const bytes = await readFile(fixture("turned.mp4"));
    const { height, width } = await probeClip(fixture("turned.mp4"));
    const matrix = bytes.indexOf("tkhd") + 44;
    for (const degrees of [89.6, 90.4]) {
      const [cos, sin] = [Math.cos, Math.sin].map((f) => Math.round(f((degrees * Math.PI) / 180) * 2 ** 16));
      for (const [at, value] of [cos, sin, 0, -sin!, cos].entries())
        bytes.writeInt32BE(value as number, matrix + 4 * at);
      const path = join(folder, "askew.mp4");
      await writeFile(path, bytes);
      expect(await probeClip(path)).toMatchObject({ height, width });
    }
  });

  test("the cover picture of a sound file is no clip", async () => {
    const cover = make("cover.png", ...source("color=red:s=32x32"), "-frames:v", "1");
    const inputs = [...source("sine=d=1"), "-i", cover, "-map", "0", "-map", "1"];
    const path = make(
      "sound.m4a",
      ...inputs,
      "-c:a",
      "aac",
      "-c:v",
      "copy",
      "-disposition:v",
      "attached_pic",
    );
    await expect(probeClip(path)).rejects.toThrow(
      "the file has no frames of video: check that it is a video and not sound alone",
    );
  });

  test("a clip without an average rate has that of its duration", async () => {
    const path = make("fast.mkv", ...source("testsrc2=s=32x32:r=1000:d=1"), "-c:v", "ffv1");
    expect(await probeClip(path)).toMatchObject({ frames: 1000, fps: 1000 });
  });

  test("as many separate frames as the largest limit allows", async () => {
    const path = make("long.mkv", ...source("color=s=2x2:r=1000:d=4.1"), "-c:v", "ffv1");
    const indices = Array.from({ length: LARGEST_MAX_FRAMES }, (_, index) => 2 * index);
    let frames = 0;
    for await (const _ of decodeFrames(path, await probeClip(path), indices)) frames += 1;
    expect(frames).toBe(LARGEST_MAX_FRAMES);
  });
});
