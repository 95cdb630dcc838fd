/**
 * A clip's sampled frames and their timestamps: `sample_frames` and `_calculate_timestamps` of transformers'
 * processors, step by step in float64 and with NumPy's rounding of halves to even.
 */
import { VitgraphError } from "@vitgraph/errors";
import { linspace, roundHalfEven } from "../numerics.js";

/** A clip as its container describes it. */
export interface ClipLength {
  readonly frames: number;
  /** Frames per second, on average. */
  readonly fps: number;
}

/** Maximum frames of families for which transformers has no limit, since clips can be untrusted. */
export const USUAL_MAX_FRAMES = 768;

/** The highest limit that a processor file may set. */
export const LARGEST_MAX_FRAMES = 2048;

/** The sampling density: by rate or by count, never both. */
export interface FrameSampling {
  /** Frames per second of the clip. */
  readonly fps?: number | undefined;
  /** Frames of the whole clip, at most the processor's limit. */
  readonly numFrames?: number | undefined;
}

/** The processor's rule, its default rate or count, and limits on the number of frames when sampling by rate. */
export interface FrameSamplingLimits extends FrameSampling {
  readonly sampling: FrameRule;
  readonly temporalPatchSize: number;
  readonly minFrames: number;
  /** Finite: a caller's rate is bounded by nothing else. */
  readonly maxFrames: number;
  /** Maximum duration in seconds that is sampled at the rate. */
  readonly maxDuration?: number;
}

/**
 * The rule of frame sampling. `spread`: equal steps from the first to the last. `stride`: the first frame of each of
 * equal parts of the clip, in whole temporal patches. Otherwise the family's own rule, which returns ascending frame
 * indices, possibly repeated.
 * @param wanted the caller's sampling, or else the processor's
 * @throws VG_ARGUMENT_INVALID for a sampling that the rule does not support
 */
export type FrameRule =
  | "spread"
  | "stride"
  | ((clip: ClipLength, wanted: FrameSampling, limits: FrameSamplingLimits) => readonly number[]);

/**
 * Frame indices, ascending. A clip shorter than requested yields all of its frames; with `numFrames` some repeat, as in
 * transformers, and with the rule `stride` it is rejected.
 * @throws VG_ARGUMENT_INVALID for both or impossible settings
 */
export function sampleFrames(
  { frames, fps: clipFps }: ClipLength,
  given: FrameSampling,
  limits: FrameSamplingLimits,
): readonly number[] {
  checkFrameSampling(given);
  const { fps, numFrames } = given;
  const { sampling, temporalPatchSize: patch, minFrames, maxFrames } = limits;
  if (numFrames !== undefined && numFrames > maxFrames) {
    throw invalid(`numFrames is ${numFrames}, above the limit of ${maxFrames}`, "ask for fewer frames");
  }
  const isAsked = fps !== undefined || numFrames !== undefined;
  const wanted = isAsked ? { fps, numFrames } : usualSampling(frames, limits);
  if (typeof sampling === "function") return sampling({ frames, fps: clipFps }, wanted, limits);
  const rate = wanted.fps as number; // defined if numFrames is not
  const byRate = Math.min(Math.max((frames / clipFps) * rate, minFrames), maxFrames, frames);
  if (sampling === "spread")
    return linspace(0, frames - 1, wanted.numFrames ?? Math.trunc(byRate)).map(roundHalfEven);
  const whole =
    wanted.numFrames === undefined
      ? Math.floor(byRate / patch) * patch
      : roundHalfEven(wanted.numFrames / patch) * patch;
  checkFrameCount(whole, frames);
  // With less than one patch transformers divides by zero; here one frame repeats to fill it.
  const count = Math.max(1, whole);
  return Array.from({ length: count }, (_, index) => Math.floor((index * frames) / count));
}

/** Checks that do not depend on the clip. @throws VG_ARGUMENT_INVALID if both are set, or one is invalid */
export function checkFrameSampling({ fps, numFrames }: FrameSampling): void {
  if (fps !== undefined && numFrames !== undefined) {
    throw invalid(`both fps (${fps}) and numFrames (${numFrames}) are given`, "give one of them");
  }
  if (numFrames !== undefined && !(Number.isSafeInteger(numFrames) && numFrames > 0)) {
    throw invalid(`numFrames is ${numFrames}`, "give a positive whole number");
  }
  if (fps !== undefined && !(Number.isFinite(fps) && fps > 0)) {
    throw invalid(`fps is ${fps}`, "give a positive number of frames per second");
  }
}

/** A clip of fewer frames than the default yields all of them. */
function usualSampling(frames: number, { fps, numFrames }: FrameSampling): FrameSampling {
  return numFrames === undefined ? { fps } : { numFrames: Math.min(numFrames, frames) };
}

/** @throws VG_ARGUMENT_INVALID for a clip of fewer frames */
export function checkFrameCount(count: number, frames: number): void {
  if (count <= frames) return;
  throw invalid(`numFrames gives ${count} frames, and the clip has ${frames}`, "ask for fewer frames");
}

/**
 * The timestamp of each temporal patch in seconds: the mean of the timestamps of its first and last frame. Some prompts
 * state it before each patch's tokens, as `<1.5 seconds>`.
 * @param indices indices of the sampled frames. The last one is repeated to fill the last patch
 */
export function patchTimestamps(
  indices: readonly number[],
  fps: number,
  temporalPatchSize: number,
): readonly number[] {
  const secondsOf = (at: number) => (indices[Math.min(at, indices.length - 1)] as number) / fps;
  return Array.from({ length: Math.ceil(indices.length / temporalPatchSize) }, (_, patch) => {
    const first = patch * temporalPatchSize;
    return (secondsOf(first) + secondsOf(first + temporalPatchSize - 1)) / 2;
  });
}

/** For families whose rule takes neither a rate nor a number. @throws VG_ARGUMENT_INVALID if one is given */
export function refuseSampling({ fps, numFrames }: FrameSampling): void {
  for (const [name, value] of Object.entries({ fps, numFrames }))
    if (value !== undefined) throw unsampled(name, value, "leave it out, or pass the frames");
}

export function unsampled(name: string, value: number, remedy: string): VitgraphError {
  return invalid(`${name} is ${value}, and this model samples clips by time`, remedy);
}

function invalid(fact: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_ARGUMENT_INVALID", fact, { remedy });
}
