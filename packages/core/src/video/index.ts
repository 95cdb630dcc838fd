/** From a video file to an item: sampling, decoding, resizing, patches. */
export { type OpenClipOptions, type OpenedClip, openClip } from "./open-clip.js";
export {
  type ClipLength,
  type FrameSampling,
  type FrameSamplingLimits,
  patchTimestamps,
  QWEN3_VL_SAMPLING,
  sampleFrames,
} from "./sample-frames.js";
