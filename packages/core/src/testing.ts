/** The door for tests: tiny checkpoints made on the spot, in the real layout. */
export {
  MINIATURE_CONFIG,
  type MiniatureOptions,
  writeMiniatureCheckpoint,
} from "./testing/miniature-checkpoint.js";
