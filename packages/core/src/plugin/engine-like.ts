/** What the plugin needs of an engine, so that a test can hand it another one. `EncoderEngine` is one. */
import type { BudgetRange } from "@vitgraph/config";
import type { ItemSpec } from "@vitgraph/scheduler";
import type { EngineItem } from "../engine/engine-item.js";
import type { EncodeOptions, EncoderEngineOptions } from "../engine/engine-options.js";
import type { VisionModel } from "../models/vision-model.js";
import type { EngineFigures } from "../observability/observer.js";
import type { Embedding } from "../runtime/embedding.js";

export interface EncoderEngineLike {
  readonly model: { readonly vision: Pick<VisionModel, "outputColumns"> };
  encode(items: readonly EngineItem[], options?: EncodeOptions): Promise<PromiseSettledResult<Embedding>[]>;
  getItemSpecs(
    items: readonly EngineItem[],
    options?: EncodeOptions,
  ): Promise<PromiseSettledResult<ItemSpec>[]>;
  budgetRange(): BudgetRange;
  stats(): EngineFigures;
  /** Takes no more calls, finishes what it has, and gives back what it made. */
  close(): Promise<void>;
}

export type CreateEngine = (options: EncoderEngineOptions) => Promise<EncoderEngineLike>;
