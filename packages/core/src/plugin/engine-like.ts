/** The engine that a plugin starts; tests pass a fake. `EncoderEngine` implements it. */
import type { BudgetRange, EncoderOptions } from "@vitgraph/config";
import type { ItemSpec } from "@vitgraph/scheduler";
import type { EngineItem } from "../engine/engine-item.js";
import type { EncodeOptions, EncoderEngineOptions } from "../engine/engine-options.js";
import type { VisionModel } from "../models/vision-model.js";
import type { EngineFigures } from "../observability/observer.js";
import type { Embedding } from "../runtime/embedding.js";

/** The part of an engine that the plugin uses: an `EncoderEngine`, or a fake of it. */
export interface EncoderEngineLike {
  readonly model: { readonly vision: Pick<VisionModel, "outputColumns"> };
  /** One outcome for each item, in their order. */
  encode(items: readonly EngineItem[], options?: EncodeOptions): Promise<PromiseSettledResult<Embedding>[]>;
  /** The size of each item, without encoding it. */
  getItemSpecs(
    items: readonly EngineItem[],
    options?: EncodeOptions,
  ): Promise<PromiseSettledResult<ItemSpec>[]>;
  /** The smallest and the largest token budget that the engine would infer. */
  budgetRange(): BudgetRange;
  /** Counts since the start, and the present load. */
  stats(): EngineFigures;
  /** Refuses new calls, finishes the accepted ones, and frees its resources. */
  close(): Promise<void>;
}

/** Options that were checked, and the keys of the host's compilation config. `EncoderEngine.start` is one. */
export type CreateEngine = (
  options: Omit<EncoderEngineOptions, "compilationConfig">,
  encoder: EncoderOptions,
) => Promise<EncoderEngineLike>;
