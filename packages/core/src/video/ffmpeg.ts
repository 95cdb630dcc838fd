/**
 * The system's ffmpeg and ffprobe: a clip's properties, and selected frames as RGB bytes.
 *
 * Clips are untrusted. ffmpeg runs as a separate process that reads one local file through an allow-list of containers
 * without network protocols, and is killed when the call ends. Its pixels equal PyAV's (`to_ndarray("rgb24")`), rotated
 * upright by the container's metadata.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { VitgraphError } from "@vitgraph/errors";
import { onAbort } from "@vitgraph/scheduler";
import type { ImageSize } from "../images/smart-resize.js";
import type { ClipLength } from "./sample-frames.js";

export interface ClipInfo extends ClipLength, ImageSize {
  /** ffmpeg's name of the container: "mov,mp4,m4a,3gp,3g2,mj2". */
  readonly container: string;
}

/**
 * Containers that hold frames in one file. Playlists (HLS, DASH, concat) are excluded: they name other files, which a
 * caller's clip must not make this machine read.
 */
const CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,gif,h264,hevc,ivf";
const INPUT_LIMITS = ["-protocol_whitelist", "file", "-format_whitelist", CONTAINERS];
/** Limit on ffprobe's output. The description of a stream has a few hundred bytes. */
const MAX_DESCRIPTION_BYTES = 2 ** 20;
/** Length of the tail of a failed process's stderr in messages. */
const SHOWN_STDERR_CHARACTERS = 300;
/** Frame rate of clips that state none, as in transformers. */
const DEFAULT_FPS = 24;

/**
 * @param path a local file
 * @throws VG_VIDEO_INVALID; VG_VIDEO_DECODER_MISSING; the signal's reason
 */
export async function probeClip(path: string, signal?: AbortSignal): Promise<ClipInfo> {
  const entries =
    "stream=width,height,avg_frame_rate,nb_read_packets:stream_side_data=rotation:format=format_name";
  const args = ["-v", "error", ...INPUT_LIMITS, "-select_streams", "v:0", "-count_packets"];
  const chunks: Buffer[] = [];
  let bytes = 0;
  const format = ["-show_entries", entries, "-of", "json"];
  const running = start("ffprobe", path, [...args, ...format, localFile(path)], signal);
  for await (const chunk of running.stdout) {
    bytes += chunk.length;
    if (bytes > MAX_DESCRIPTION_BYTES) running.kill();
    else chunks.push(chunk);
  }
  await running.end();
  return readDescription(Buffer.concat(chunks).toString());
}

interface Description {
  readonly streams?: readonly {
    readonly width?: number;
    readonly height?: number;
    readonly avg_frame_rate?: string;
    readonly nb_read_packets?: string;
    readonly side_data_list?: readonly { readonly rotation?: number }[];
  }[];
  readonly format?: { readonly format_name?: string };
}

/** @throws VG_VIDEO_INVALID */
export function readDescription(json: string): ClipInfo {
  const { streams = [], format } = JSON.parse(json) as Description;
  const [stream] = streams;
  const { width = 0, height = 0, nb_read_packets = "0", avg_frame_rate = "0/0" } = stream ?? {};
  const frames = Number(nb_read_packets);
  if (!(width > 0 && height > 0 && frames > 0)) {
    throw invalidClip("the file has no frames of video", "check that it is a video and not sound alone");
  }
  const [numerator = 0, denominator = 0] = avg_frame_rate.split("/").map(Number);
  const fps = numerator > 0 && denominator > 0 ? numerator / denominator : DEFAULT_FPS;
  const rotation = stream?.side_data_list?.find((data) => data.rotation !== undefined)?.rotation ?? 0;
  const turned = Math.abs(rotation) % 180 === 90;
  return {
    frames,
    fps,
    height: turned ? width : height,
    width: turned ? height : width,
    container: format?.format_name ?? "unknown",
  };
}

/**
 * Streams the frames with these indices, in order, RGB [height, width, 3] each, at the consumer's pace. An index may
 * repeat.
 * @param indices ascending
 * @throws VG_VIDEO_INVALID if the clip ends before the last of them; VG_VIDEO_DECODER_MISSING; the signal's reason
 */
export async function* decodeFrames(
  path: string,
  { height, width }: ImageSize,
  indices: readonly number[],
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const wanted = [...new Set(indices)];
  const last = wanted.at(-1) as number;
  const select = `select='${ranges(wanted)
    .map(([from, to]) => `between(n,${from},${to})`)
    .join("+")}'`;
  const output = [
    "-map",
    "0:v:0",
    "-vf",
    select,
    "-fps_mode",
    "passthrough",
    "-frames:v",
    String(wanted.length),
  ];
  const args = ["-v", "error", "-nostdin", ...INPUT_LIMITS, "-i", localFile(path), ...output];
  const running = start("ffmpeg", path, [...args, "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"], signal);
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
  readonly stdout: AsyncIterable<Buffer>;
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
  return { stdout: child.stdout as AsyncIterable<Buffer>, end: () => ended, kill };
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
