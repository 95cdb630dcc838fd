/**
 * Which frames of a clip the model sees, and when they are shown: `sample_frames` and `_calculate_timestamps` of transformers'
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

/** How densely to sample: by rate, or by count. Never both. */
export interface FrameSampling {
  /** Frames per second of the clip. */
  readonly fps?: number | undefined;
  /** Frames of the whole clip, at most the processor's limit. */
  readonly numFrames?: number | undefined;
}

/** The processor's rule, its default rate or number, and its limits on what a rate gives. */
export interface FrameSamplingLimits extends FrameSampling {
  readonly sampling: FrameRule;
  readonly temporalPatchSize: number;
  readonly minFrames: number;
  readonly maxFrames: number;
  /** Seconds. */
  readonly maxDuration?: number;
}

/**
 * Which frames of a clip are sampled. `spread`: in equal steps from the first to the last. `stride`: the first of each of
 * equal parts of the clip, in whole temporal patches. Else the family's own rule, which gives ascending frame numbers; one
 * may repeat.
 * @param wanted what the caller asks for, or else the processor's
 * @throws VG_ARGUMENT_INVALID for what the rule can't do
 */
export type FrameRule =
  | "spread"
  | "stride"
  | ((clip: ClipLength, wanted: FrameSampling, limits: FrameSamplingLimits) => readonly number[]);

/**
 * Frame numbers, ascending. A clip shorter than asked for gives all of its frames; by `numFrames` it then repeats some, as in
 * transformers, or by the rule `stride` is refused.
 * @throws VG_ARGUMENT_INVALID for both or impossible settings
 */
export function sampleFrames(
  { frames, fps: clipFps }: ClipLength,
  { fps, numFrames }: FrameSampling,
  limits: FrameSamplingLimits,
): readonly number[] {
  if (fps !== undefined && numFrames !== undefined) {
    throw invalid(`both fps (${fps}) and numFrames (${numFrames}) are given`, "give one of them");
  }
  if (numFrames !== undefined && !(Number.isSafeInteger(numFrames) && numFrames > 0)) {
    throw invalid(`numFrames is ${numFrames}`, "give a positive whole number");
  }
  if (fps !== undefined && !(Number.isFinite(fps) && fps > 0)) {
    throw invalid(`fps is ${fps}`, "give a positive number of frames per second");
  }
  const { sampling, temporalPatchSize: patch, minFrames, maxFrames } = limits;
  if (numFrames !== undefined && numFrames > maxFrames) {
    throw invalid(`numFrames is ${numFrames}, above the limit of ${maxFrames}`, "ask for fewer frames");
  }
  const isAsked = fps !== undefined || numFrames !== undefined;
  const wanted = isAsked ? { fps, numFrames } : usualSampling(frames, limits);
  if (typeof sampling === "function") return sampling({ frames, fps: clipFps }, wanted, limits);
  const rate = wanted.fps as number; // where no number is wanted
  const byRate = Math.min(Math.max((frames / clipFps) * rate, minFrames), maxFrames, frames);
  if (sampling === "spread")
    return linspace(0, frames - 1, wanted.numFrames ?? Math.trunc(byRate)).map(roundHalfEven);
  const whole =
    wanted.numFrames === undefined
      ? Math.floor(byRate / patch) * patch
      : roundHalfEven(wanted.numFrames / patch) * patch;
  checkFrameCount(whole, frames);
  // transformers divides by zero where there is not one patch; one frame repeats to fill it.
  const count = Math.max(1, whole);
  return Array.from({ length: count }, (_, index) => Math.floor((index * frames) / count));
}

/** A clip of fewer frames than usual gives all of them. */
function usualSampling(frames: number, { fps, numFrames }: FrameSampling): FrameSampling {
  return numFrames === undefined ? { fps } : { numFrames: Math.min(numFrames, frames) };
}

/** @throws VG_ARGUMENT_INVALID for a clip of fewer frames */
export function checkFrameCount(count: number, frames: number): void {
  if (count <= frames) return;
  throw invalid(`numFrames gives ${count} frames, and the clip has ${frames}`, "ask for fewer frames");
}

/**
 * Seconds into the clip of each temporal patch: the mean of its first and its last frame's. Some prompts have them
 * before each patch's tokens, as `<1.5 seconds>`.
 * @param indices of the sampled frames; where they do not fill the last patch, the last one repeats
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

/** @throws VG_ARGUMENT_INVALID for a rate or a number, of families whose rule takes neither */
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
