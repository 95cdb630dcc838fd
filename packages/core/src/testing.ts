/**
 * The entry point @vitgraph/core/testing: fakes of both sides of the plugin contract, checks for hosts, and generators of
 * tiny checkpoints and unusual images.
 *
 * @module @vitgraph/core/testing
 */
export { pngChunk, selfPointingExif, zeroPng } from "./testing/crafted-images.js";
export { FakeEngine, type FakeEngineOptions, fakeItem } from "./testing/fake-engine.js";
export {
  createFakeHost,
  FakeHost,
  type FakeHostOptions,
  HOST_FAULTS,
  type HostFault,
} from "./testing/fake-host.js";
export {
  type ConformanceCheck,
  type HostUnderTest,
  hostConformance,
  type ServeOptions,
} from "./testing/host-conformance.js";
export {
  MINIATURE_CONFIG,
  type MiniatureOptions,
  writeMiniatureCheckpoint,
} from "./testing/miniature-checkpoint.js";
export { type MiniatureModel, openMiniatureModel } from "./testing/miniature-model.js";
