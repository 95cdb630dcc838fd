/**
 * The entry point of @vitgraph/core: models, compiler, encoder and engine. Re-exports only.
 *
 * @module @vitgraph/core
 */

// So that a user of the engine needs one import: the devices that it runs on, and the programs that it prints.
export {
  createDevice,
  type Device,
  type DeviceInfo,
  describeBackends,
  type ExportedMemory,
  printProgram,
} from "@vitgraph/cuda-kernels";
export { type CompiledGraph, type CompileOptions, compile } from "./compiler/compile.js";
export {
  type Capacity,
  type MemoryPlan,
  type Placement,
  printMemoryPlan,
  type Target,
  type WeightDTypes,
} from "./compiler/memory-plan.js";
export type { RewriteStep } from "./compiler/rewrite.js";
export { gridValues, useGridCache } from "./compiler/use-grid-cache.js";
export { readDataUrl } from "./data-url.js";
export { type DecoderVersions, decoderVersions } from "./decoders.js";
export type { LatencySample } from "./engine/cost-model.js";
export type { EmbeddingCache } from "./engine/embedding-cache.js";
export { type CloseOptions, EncoderEngine, type IndexedOutcome } from "./engine/encoder-engine.js";
export { engineIdentity } from "./engine/engine-identity.js";
export type {
  EngineItem,
  FramesItem,
  ImageBytesItem,
  PixelValuesItem,
  RasterItem,
} from "./engine/engine-item.js";
export type {
  EncodeOptions,
  EncoderEngineOptions,
  EngineDevice,
  EngineLimits,
} from "./engine/engine-options.js";
export type { DeviceStats, EngineStats } from "./engine/engine-stats.js";
export { measureCosts } from "./engine/measure-costs.js";
export { OutputCache, type OutputCacheStats } from "./engine/output-cache.js";
export {
  type AnyNode,
  type Graph,
  graphFlops,
  type Node,
  printGraph,
  type ValueId,
} from "./graph/graph.js";
export type { DimCounts, OpAttributes, OpKind, ValueType, WorkCounts } from "./graph/ops.js";
export {
  blockUnusedLoaders,
  channelScale,
  type DecodeOptions,
  decodeImage,
  type ImageFormat,
  type ImageProcessor,
  type ImageSize,
  imageGrid,
  imageTokenCount,
  type OpenedImage,
  openImage,
  processImage,
  processVideo,
  type Raster,
  type VideoProcessor,
  videoGrid,
} from "./images/index.js";
export {
  type EncoderItem,
  type Grid,
  type GridPart,
  type NormalizedItem,
  type PatchShape,
  type PixelItem,
  partsOf,
  patchCount,
  rowElements,
  tokenCount,
} from "./item.js";
export { ARCHITECTURES, type ArchitectureName } from "./models/architectures.js";
export {
  createVisionModel,
  imageProcessorOf,
  MODEL_TYPES,
  readImageProcessor,
  readVideoProcessor,
} from "./models/index.js";
export {
  type LoadedModel,
  type LoadModelOptions,
  loadDummyModel,
  loadModel,
  type ProcessorSettings,
  readProcessorSettings,
  towerFiles,
  videoProcessorOf,
} from "./models/load-model.js";
export type { ArchitectureConfig } from "./models/model-family.js";
export { stillGrids } from "./models/still-grids.js";
export {
  capacityFor,
  embeddingColumns,
  type GridLayout,
  itemSpec,
  joinTiles,
  outputTokensOf,
  type VisionModel,
} from "./models/vision-model.js";
export { bf16ToF32, bytesOf, compareWithReference, f16ToF32, f32ToBf16, f32ToF16 } from "./numerics.js";
export type { Logger } from "./observability/logger.js";
export type * from "./observability/observer.js";
export * from "./plugin/index.js";
export { type EncoderBudgets, resolveBudgets } from "./runtime/budgets.js";
export { compileForDevice } from "./runtime/compile-for-device.js";
export { type BatchReport, Embedding, splitLevels } from "./runtime/embedding.js";
export {
  embeddingBytes,
  embeddingPieces,
  encodeEmbeddings,
  encodeNpy,
  type NamedEmbedding,
} from "./runtime/embedding-files.js";
export type { GridCacheStats } from "./runtime/grid-cache.js";
export type { Frame } from "./runtime/grid-rows.js";
export {
  type CapturedGraphs,
  DEFAULT_MAX_BATCH_TOKENS,
  type StartTimes,
  type VisionEncoderOptions,
} from "./runtime/open-encoder.js";
export { PACKING_RULES, type PackingRule } from "./runtime/packing.js";
export type { Composition, GraphCheck, GraphFailure } from "./runtime/self-check.js";
export { type StagedBatch, stageBatch } from "./runtime/stage-batch.js";
export type { EncoderStats, GraphStatistics } from "./runtime/stats.js";
export { VisionEncoder } from "./runtime/vision-encoder.js";
export {
  type ClipLength,
  checkFrameSampling,
  type FrameRule,
  type FrameSampling,
  type FrameSamplingLimits,
  type OpenClipOptions,
  type OpenedClip,
  openClip,
  sampleFrames,
} from "./video/index.js";
export { Checkpoint, readJsonObject, type WantedTensors } from "./weights/checkpoint.js";
export { cachedSnapshot, findCheckpoint, hubFolder, isHubId } from "./weights/hub-cache.js";
export { quantMethodOf } from "./weights/quantised-tower.js";
export {
  encodeSafetensors,
  type SafetensorsDType,
  SafetensorsFile,
  type TensorData,
  type TensorInfo,
  writeSafetensors,
} from "./weights/safetensors.js";
export type { TensorSource } from "./weights/tensor-source.js";
export { writeAtomically } from "./write-atomically.js";
