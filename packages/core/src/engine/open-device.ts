/** Makes one device of an engine ready: the device, the encoder on it, what batches cost there, and how to pack them. */
import { encoderOptions, parseCompilationConfig } from "@vitgraph/config";
import { createDevice, type Device } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";
import type { BatchCost } from "@vitgraph/scheduler";
import type { LoadedModel } from "../models/load-model.js";
import type { Frame } from "../runtime/grid-rows.js";
import type { GraphFailure } from "../runtime/self-check.js";
import { type CapturedGraphs, VisionEncoder, warnOfGraphFailure } from "../runtime/vision-encoder.js";
import type { OpenedDevice } from "./device-lane.js";
import type { EngineDevice, ResolvedEngineOptions } from "./engine-options.js";
import { createPacker } from "./packing.js";
import { costFromPoints, estimateCosts, measureCosts } from "./replay-costs.js";
import { costFile, costIdentity, readCosts, writeCosts } from "./replay-costs-file.js";

export interface OpenDeviceHooks {
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  readonly onGraphFailure: (failure: GraphFailure) => void;
  readonly onGraphsCaptured: (captured: CapturedGraphs) => void;
  readonly onGridMiss: (frames: readonly Frame[]) => void;
}

/** @param index the device's position, for errors */
export async function openDevice(
  index: number,
  source: EngineDevice,
  model: LoadedModel,
  options: ResolvedEngineOptions,
  { onProgress, onGraphsCaptured, onGraphFailure, onGridMiss }: OpenDeviceHooks,
): Promise<OpenedDevice> {
  const device = typeof source === "function" ? await source() : createDevice(source);
  try {
    checkDType(index, device, options.dtype);
    const encoder = await VisionEncoder.create({
      model,
      device,
      compilationConfig: options.compilationConfig,
      maxBatchTokens: options.maxBatchTokens,
      selfCheck: options.selfCheck,
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(options.gridCacheBytes === undefined ? {} : { gridCacheBytes: options.gridCacheBytes }),
      ...(options.warmUpGrids === undefined ? {} : { warmUpGrids: options.warmUpGrids }),
      onGraphsCaptured,
      onGraphFailure: (failure) => {
        warnOfGraphFailure(failure);
        onGraphFailure(failure);
      },
      onGridMiss,
    });
    try {
      const cost = await costOfBatches(encoder, options);
      encoder.resetGridCounts();
      return { device, encoder, cost, pack: createPacker(options.packing, encoder.budgets, cost) };
    } catch (error) {
      encoder[Symbol.dispose]();
      throw error;
    }
  } catch (error) {
    device[Symbol.dispose]();
    throw error;
  }
}

function checkDType(index: number, device: Device, dtype: "auto" | "bf16" | "f32"): void {
  if (dtype === "auto" || dtype === device.activationDType) return;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `device ${index} (${device.info.name}) computes in ${device.activationDType}, and dtype is "${dtype}"`,
    {
      remedy: `set dtype to "auto" or "${device.activationDType}", or choose another backend`,
      details: { device: index, computes: device.activationDType, dtype },
    },
  );
}

async function costOfBatches(encoder: VisionEncoder, options: ResolvedEngineOptions): Promise<BatchCost> {
  const { costs, costDirectory } = options;
  if (typeof costs === "function") return costs;
  // Measuring a big tower on a CPU takes minutes, and tells no more than its arithmetic: nothing is replayed there.
  const measured = costs === "measure" || (costs === "auto" && encoder.device.info.backend === "cuda");
  if (!measured) return estimateCosts(encoder.model, encoder.device.info);
  const { compile } = encoderOptions(parseCompilationConfig(options.compilationConfig).config);
  const identity = costIdentity(encoder, compile);
  const file = costDirectory === "" ? undefined : costFile(costDirectory, identity);
  const known = file === undefined ? undefined : await readCosts(file, identity);
  if (known !== undefined) return costFromPoints(known);
  const points = await measureCosts(encoder);
  // A directory that cannot be written costs the next start some seconds, and this one nothing.
  if (file !== undefined) await writeCosts(file, identity, points).catch(() => {});
  return costFromPoints(points);
}
