/** Opens one device of an engine: the device, its encoder, its cost model and its packer. */
import { createDevice } from "@vitgraph/cuda-kernels";
import type { BatchCost } from "@vitgraph/scheduler";
import type { LoadedModel } from "../models/load-model.js";
import type { Frame } from "../runtime/grid-rows.js";
import { type CapturedGraphs, warnOfGraphFailure } from "../runtime/open-encoder.js";
import { createPacker } from "../runtime/packing.js";
import type { GraphFailure } from "../runtime/self-check.js";
import { VisionEncoder } from "../runtime/vision-encoder.js";
import { costFile, costIdentity, readCosts, writeCosts } from "./cost-file.js";
import { costFromSamples, estimateCosts } from "./cost-model.js";
import type { OpenedDevice } from "./device-worker.js";
import type { EngineDevice, ResolvedEngineOptions } from "./engine-options.js";
import { measureCosts } from "./measure-costs.js";

export interface OpenDeviceHooks {
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  readonly onGraphFailure: (failure: GraphFailure) => void;
  readonly onGraphsCaptured: (captured: CapturedGraphs) => void;
  readonly onGridMiss: (frames: readonly Frame[]) => void;
}

export async function openDevice(
  source: EngineDevice,
  model: LoadedModel,
  options: ResolvedEngineOptions,
  { onProgress, onGraphsCaptured, onGraphFailure, onGridMiss }: OpenDeviceHooks,
): Promise<OpenedDevice> {
  const device = typeof source === "function" ? await source() : createDevice(source);
  try {
    const encoder = await VisionEncoder.open(
      {
        model,
        device,
        maxBatchTokens: options.maxBatchTokens,
        ...(onProgress === undefined ? {} : { onProgress }),
        ...(options.gridCacheBytes === undefined ? {} : { gridCacheBytes: options.gridCacheBytes }),
        ...(options.warmUpGrids === undefined ? {} : { warmUpGrids: options.warmUpGrids }),
        onGraphsCaptured,
        onGraphFailure: (failure) => {
          warnOfGraphFailure(failure);
          onGraphFailure(failure);
        },
        onGridMiss,
      },
      options.encoder,
    );
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

async function costOfBatches(encoder: VisionEncoder, options: ResolvedEngineOptions): Promise<BatchCost> {
  const { costs, costDirectory } = options;
  if (typeof costs === "function") return costs;
  // On a CPU nothing is replayed, and cost follows FLOPs; measuring a large tower would take minutes.
  const measured = costs === "measure" || (costs === "auto" && encoder.device.info.backend === "cuda");
  if (!measured) return estimateCosts(encoder.model, encoder.device.info);
  const identity = costIdentity(encoder, options.encoder.compile);
  const file = costDirectory === "" ? undefined : costFile(costDirectory, identity);
  const known = file === undefined ? undefined : await readCosts(file, identity);
  if (known !== undefined) return costFromSamples(known);
  const points = await measureCosts(encoder);
  // Ignore write errors: the next start only has to measure again.
  if (file !== undefined) await writeCosts(file, identity, points).catch(() => {});
  return costFromSamples(points);
}
