/**
 * The system's ffmpeg and ffprobe: a clip's properties, and selected frames as RGB bytes.
 *
 * Clips are untrusted. ffmpeg runs as a separate process that reads one local file through an allow-list of containers
 * without network protocols, and is killed when the call ends. Its pixels equal PyAV's (`to_ndarray("rgb24")`), rotated
 * upright by the container's metadata.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { VitgraphError } from "@vitgraph/errors";
import { onAbort } from "@vitgraph/scheduler";
import type { ImageSize } from "../images/smart-resize.js";
import type { ClipLength } from "./sample-frames.js";

export interface ClipInfo extends ClipLength, ImageSize {
  /** ffmpeg's name of the container: "mov,mp4,m4a,3gp,3g2,mj2". */
  readonly container: string;
}

/** A clip as `decodeFrames` needs it. */
interface ProbedClip extends ClipInfo {
  /** Whether its container says how to turn the frames. */
  readonly hasRotation: boolean;
}

/**
 * Containers that hold frames in one file. Playlists (HLS, DASH, concat) are excluded: they name other files, which a
 * caller's clip must not make this machine read.
 */
const CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,h264,hevc,ivf";
const INPUT_LIMITS = ["-protocol_whitelist", "file", "-format_whitelist", CONTAINERS];
/** 8K. ffmpeg keeps up to 16 reference frames: a file of 0.4 MB with frames of 16384 × 8192 took 6 GB. */
export const MAX_FRAME_PIXELS = 8192 * 4320;
/** ffmpeg's memory in RGB frames of the clip: reference frames, those of its threads, and those being converted. */
export const DECODER_FRAMES = 15;
/** A decoder with threads holds a frame for each. */
const DECODER_THREADS = "4";
/** Limits the pixels of later frames, whose size the header does not give. Doubled because decoders round sides up. */
const DECODER_LIMITS = ["-threads", DECODER_THREADS, "-max_pixels", String(2 * MAX_FRAME_PIXELS)];
/** Length of the tail of a failed process's stderr in messages. */
const SHOWN_STDERR_CHARACTERS = 300;
/** transformers' frame rate for a clip that states none, if the container has no duration either. */
const DEFAULT_FPS = 24;

/** The first stream that is no cover picture. */
const STREAM = "V:0";
/** Asked for in one call: a line for each packet, then one for each property. */
const ENTRIES =
  "packet=flags:stream=codec_name,width,height,avg_frame_rate:stream_side_data=rotation:format=format_name,duration";

/**
 * @param path a local file
 * @throws VG_VIDEO_INVALID; VG_VIDEO_DECODER_MISSING; the signal's reason
 */
export async function probeClip(path: string, signal?: AbortSignal): Promise<ProbedClip> {
  let packets = 0;
  const properties = new Map<string, string>();
  for await (const [name, value] of entriesOf(path, ["-show_entries", ENTRIES], signal)) {
    if (name !== "flags") properties.set(name, value);
    // Packets with the flag D are before the edit list's start: decoders drop their frames.
    else if (!value.includes("D")) packets += 1;
  }
  const frames = properties.get("codec_name") === "vp8" ? await countFrames(path, signal) : packets;
  return clipInfo(frames, properties);
}

/** Decodes the whole clip. For VP8, whose packets may hold a reference frame that is never shown. */
async function countFrames(path: string, signal?: AbortSignal): Promise<number> {
  const asked = ["-count_frames", "-show_entries", "stream=nb_read_frames"];
  for await (const [, value] of entriesOf(path, asked, signal)) return Number(value);
  return 0;
}

/** Pairs of a name and a value. */
async function* entriesOf(
  path: string,
  asked: readonly string[],
  signal?: AbortSignal,
): AsyncGenerator<readonly [name: string, value: string]> {
  const input = ["-v", "error", ...INPUT_LIMITS, "-select_streams", STREAM];
  const output = ["-of", "default=noprint_wrappers=1"];
  const running = start("ffprobe", path, [...input, ...asked, ...output, localFile(path)], signal);
  try {
    for await (const line of createInterface({ input: running.stdout })) {
      const [name = "", value = ""] = line.split("=");
      yield [name, value];
    }
    await running.end();
  } finally {
    running.kill();
  }
}

/** @throws VG_VIDEO_INVALID */
function clipInfo(frames: number, properties: ReadonlyMap<string, string>): ProbedClip {
  const number = (name: string) => Number(properties.get(name) ?? 0);
  const [width, height] = [number("width"), number("height")];
  if (!(width > 0 && height > 0 && frames > 0)) {
    throw invalidClip("the file has no frames of video", "check that it is a video and not sound alone");
  }
  const [numerator = 0, denominator = 0] = (properties.get("avg_frame_rate") ?? "").split("/").map(Number);
  const seconds = number("duration");
  const average = seconds > 0 ? frames / seconds : DEFAULT_FPS;
  const fps = numerator > 0 && denominator > 0 ? numerator / denominator : average;
  const turned = isQuarterTurn(number("rotation"));
  return {
    frames,
    fps,
    height: turned ? width : height,
    width: turned ? height : width,
    container: properties.get("format_name") ?? "unknown",
    hasRotation: properties.has("rotation"),
  };
}

/** ffmpeg rotates a frame by 90° if its angle is within one degree of that. ffprobe truncates: 89.6 is 89. */
const isQuarterTurn = (degrees: number) => [89, 90].includes(Math.abs(Math.trunc(degrees)) % 180);

/**
 * Streams the frames with these indices, in order, RGB [height, width, 3] each, at the consumer's pace. An index may
 * repeat.
 * @param indices ascending
 * @throws VG_VIDEO_INVALID if the clip ends before the last of them; VG_VIDEO_DECODER_MISSING; the signal's reason
 */
export async function* decodeFrames(
  path: string,
  { height, width, hasRotation }: ProbedClip,
  indices: readonly number[],
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const wanted = [...new Set(indices)];
  const last = wanted.at(-1) as number;
  const filters = [
    `select='${oneOf(ranges(wanted))}'`,
    // Frames of another size than the clip's become as large as the others; interlaced chroma belongs to one field.
    `scale=${width}:${height}:flags=bicubic:interl=-1`,
    "format=rgb24",
  ];
  const output = [
    ...["-map", `0:${STREAM}`, "-vf", filters.join(",")],
    ...["-fps_mode", "passthrough", "-frames:v", String(wanted.length)],
  ];
  // A new filter graph for frames of another size would count from 0. Turning frames of changing size needs one.
  const input = hasRotation ? [] : ["-reinit_filter", "0"];
  const args = [
    "-v",
    "error",
    "-nostdin",
    ...INPUT_LIMITS,
    ...DECODER_LIMITS,
    ...input,
    "-i",
    localFile(path),
    ...output,
  ];
  const running = start("ffmpeg", path, [...args, "-f", "rawvideo", "pipe:1"], signal);
  let at = 0;
  let frame = new Uint8Array(height * width * 3);
  let filled = 0;
  try {
    for await (const chunk of running.stdout) {
      for (let taken = 0; taken < chunk.length; ) {
        const part = chunk.subarray(taken, taken + frame.length - filled);
        frame.set(part, filled);
        taken += part.length;
        filled += part.length;
        if (filled < frame.length) continue;
        const index = wanted[at] as number;
        at += 1;
        for (const other of indices) if (other === index) yield frame;
        frame = new Uint8Array(frame.length);
        filled = 0;
      }
    }
    await running.end();
  } finally {
    running.kill();
  }
  if (at === wanted.length) return;
  throw invalidClip(
    `the clip ends before frame ${wanted[at]}, and frames up to ${last} were asked for`,
    "the file is truncated, or says more frames than it has: copy or encode it again",
  );
}

/** The prefix keeps ffmpeg from reading "12:30.mp4" as a URL and "-v.mp4" as an option. */
const localFile = (path: string): string => `file:${path}`;

/** An expression for `n` in one of the ranges: a search tree, since ffmpeg refuses sums of more than 100 terms. */
function oneOf(sorted: readonly (readonly [number, number])[]): string {
  const middle = sorted.length >> 1;
  const [from, to] = sorted[middle] as readonly [number, number];
  if (middle === 0) return from === to ? `eq(n,${from})` : `between(n,${from},${to})`;
  return `if(lt(n,${from}),${oneOf(sorted.slice(0, middle))},${oneOf(sorted.slice(middle))})`;
}

/** Ranges [first, last] of consecutive indices: keeps the filter expression short if all frames are selected. */
function ranges(numbers: readonly number[]): readonly (readonly [number, number])[] {
  const found: [number, number][] = [];
  for (const number of numbers) {
    const open = found.at(-1);
    if (open !== undefined && open[1] + 1 === number) open[1] = number;
    else found.push([number, number]);
  }
  return found;
}

interface Running {
  readonly stdout: Readable;
  /** Resolves when the process has succeeded. @throws VG_VIDEO_INVALID with its stderr; the signal's reason */
  end(): Promise<void>;
  kill(): void;
}

function start(
  program: "ffmpeg" | "ffprobe",
  path: string,
  args: readonly string[],
  signal?: AbortSignal,
): Running {
  signal?.throwIfAborted();
  const child: ChildProcess = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-SHOWN_STDERR_CHARACTERS);
  });
  const kill = () => child.kill("SIGKILL");
  const stopWatching = signal === undefined ? () => {} : onAbort(signal, kill);
  const ended = new Promise<void>((resolve, reject) => {
    child.on("error", (cause) => reject(missingDecoder(program, cause)));
    child.on("close", (code) => {
      stopWatching();
      if (signal?.aborted) reject(signal.reason);
      else if (code === 0) resolve();
      else
        reject(
          invalidClip(
            `${program} cannot read the clip (${said.trim().replaceAll(localFile(path), "the clip")})`,
            "check that it is a video file",
          ),
        );
    });
  });
  // A consumer that stops early never awaits `ended`.
  ended.catch(() => {});
  return { stdout: child.stdout as Readable, end: () => ended, kill };
}

function missingDecoder(program: string, cause: Error): VitgraphError {
  return new VitgraphError("VG_VIDEO_DECODER_MISSING", `${program} cannot be run (${cause.message})`, {
    remedy: "install ffmpeg (apt install ffmpeg, brew install ffmpeg), or pass the frames of the clip",
    cause,
  });
}

function invalidClip(fact: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_VIDEO_INVALID", fact, { remedy });
}
