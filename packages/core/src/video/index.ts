/** From a video file to an item: sampling, decoding, resizing, patches. */
export { type OpenClipOptions, type OpenedClip, openClip } from "./open-clip.js";
export {
  type ClipLength,
  checkFrameSampling,
  type FrameRule,
  type FrameSampling,
  type FrameSamplingLimits,
  patchTimestamps,
  sampleFrames,
} from "./sample-frames.js";
