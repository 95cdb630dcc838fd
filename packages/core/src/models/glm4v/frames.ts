/**
 * Frame sampling of GLM's video processors: `sample_frames` of transformers' Glm4vVideoProcessor, Glm46VVideoProcessor
 * and Glm5NextVideoProcessor, step by step in float64. All sample by time, and repeat the last frame to fill the last
 * temporal patch.
 */
import { linspace } from "../../numerics.js";
import {
  type ClipLength,
  type FrameSampling,
  type FrameSamplingLimits,
  refuseSampling,
  unsampled,
} from "../../video/sample-frames.js";

/**
 * Samples at `fps`, up to `maxDuration` and `maxFrames`. A longer clip gets the frame count of that duration, in equal
 * steps.
 */
export function sampleAtRate(
  { frames, fps: clipFps }: ClipLength,
  { fps = 2, numFrames }: FrameSampling,
  { maxFrames, maxDuration = Number.POSITIVE_INFINITY }: FrameSamplingLimits,
): readonly number[] {
  if (numFrames !== undefined) throw unsampled("numFrames", numFrames, "give fps, or pass the frames");
  const duration = frames / clipFps;
  const last = frames - 1;
  // From the clip's own rate on, all frames are sampled.
  const rate = Math.min(fps, 2 * clipFps);
  if (duration <= maxDuration && Math.min(frames, duration * rate) <= maxFrames) {
    const count = Math.max(1, Math.floor(duration * rate));
    return inPairs(range(count).map((index) => Math.min(last, Math.ceil((index * clipFps) / rate))));
  }
  const count = Math.min(Math.trunc(maxDuration * fps), maxFrames);
  if (count >= frames) return inPairs(range(frames));
  return inPairs(linspace(0, duration, count).map((seconds) => Math.min(last, Math.ceil(seconds * clipFps))));
}

const MAX_SECONDS = 2400;
const MAX_FRAMES = 640;

/** Samples at a rate that decreases with the duration of the clip. */
export function sampleByDuration(
  clip: ClipLength,
  wanted: FrameSampling,
  { temporalPatchSize }: FrameSamplingLimits,
): readonly number[] {
  refuseSampling(wanted);
  const seconds = Math.min(clip.frames / clip.fps, MAX_SECONDS);
  const rate = seconds <= 30 ? 3 : seconds <= 300 ? 1 : 0.5;
  const count = Math.min(Math.trunc(seconds * rate * temporalPatchSize), MAX_FRAMES);
  return spacedFrames(clip, count, 1 / (temporalPatchSize * rate));
}

/** Samples at `fps`, at most `maxFrames` frames. */
export function sampleSteps(
  clip: ClipLength,
  { fps = 2, numFrames }: FrameSampling,
  { maxFrames, maxDuration = Number.POSITIVE_INFINITY }: FrameSamplingLimits,
): readonly number[] {
  if (numFrames !== undefined) throw unsampled("numFrames", numFrames, "give fps, or pass the frames");
  const seconds = Math.min(clip.frames / clip.fps, maxDuration);
  return spacedFrames(clip, Math.min(Math.trunc(seconds * fps), maxFrames), 1 / fps);
}

/** Frames at intervals of `step` seconds; if that does not yield `wanted` frames, in equal steps. */
function spacedFrames({ frames, fps }: ClipLength, wanted: number, step: number): readonly number[] {
  const spread = (first: number, last: number) => linspace(first, last, wanted).map(Math.floor);
  // transformers samples no frame here; vitgraph samples the first.
  if (wanted === 0) return inPairs([0]);
  if (frames < wanted) return inPairs(spread(0, frames - 1));
  const indices = everyStep(frames, 1 / fps, step, Math.trunc(frames / fps));
  if (indices.length === wanted) return inPairs(indices);
  return inPairs(
    indices.length < wanted ? spread(indices[0] as number, indices.at(-1) as number) : spread(0, frames - 1),
  );
}

/** The first frame at or after each step, up to `end` seconds. */
function everyStep(frames: number, frameSeconds: number, step: number, end: number): readonly number[] {
  const indices: number[] = [];
  let next = 0;
  for (let index = 0; index < frames; index++) {
    if (index * frameSeconds < next) continue;
    next += step;
    indices.push(index);
    if (next >= end) break;
  }
  return indices;
}

/** Removes duplicates, and repeats the last index if the count is odd. */
function inPairs(indices: readonly number[]): readonly number[] {
  const unique = [...new Set(indices)];
  return unique.length % 2 === 0 ? unique : [...unique, unique.at(-1) as number];
}

const range = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index);
