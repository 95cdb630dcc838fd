/**
 * The entry point @vitgraph/core/contract, between a host engine and vitgraph's encoder plugin: types, and the symbol
 * that identifies a plugin. It imports nothing at run time.
 *
 * The contract is versioned, with vLLM's names. A host needs no other part of vitgraph to implement it. Sizes are in
 * patches before the spatial merge and in tokens after it, durations in milliseconds.
 *
 * @module @vitgraph/core/contract
 */
import type { BudgetRange, CompilationConfigInput } from "@vitgraph/config";
import type { ItemSpec } from "@vitgraph/scheduler";
import type { EngineItem } from "../engine/engine-item.js";
import type { EncodeOptions } from "../engine/engine-options.js";
import type { Logger } from "../observability/logger.js";
import type { Embedding } from "../runtime/embedding.js";
import type { GraphStatistics } from "../runtime/stats.js";

/** The version of the contract in this package. It is raised for changes that break existing hosts. */
export const SPECIFICATION_VERSION = 1;

/** Shared by all copies of this package in the process; its value on a plugin is the specification's version. */
export const ENCODER_PLUGIN: unique symbol = Symbol.for("vitgraph.encoder-plugin");

/** What the encoder takes. A video's frames and grid come as one item. */
export const MODALITIES = ["image", "video"] as const;
/** A kind of input that an encoder takes: "image" or "video". */
export type Modality = (typeof MODALITIES)[number];

/** The language-model engine that uses the encoder, as seen by the encoder. */
export interface HostEngine {
  /** Its name, for messages. */
  readonly name: string;
  /** The specification versions that it supports. */
  readonly specificationVersions: readonly number[];
  readonly model: HostModel;
  /** vLLM's `--compilation-config`, as an object or as JSON text, unchanged. Left out: vLLM's defaults. */
  readonly compilationConfig?: CompilationConfigInput | string;
  /** The modalities that have an encoder now. */
  takenModalities(): readonly string[];
  /**
   * Makes the encoder handle items of this modality. Returns a function that removes it; a second call of that function
   * does nothing, even if another encoder is registered by then. Requests that the encoder has accepted still finish
   * there.
   * @throws if the modality has an encoder already
   */
  registerMultimodalEncoder(modality: Modality, encoder: MultimodalEncoder): () => void;
  /** Where the engine's log goes. Left out: warnings and errors go to standard error. */
  readonly logger?: Logger;
  /**
   * The host calls and awaits the listener when it shuts down. Left out: the code that registered closes the
   * registration.
   */
  onClose?(listener: () => Promise<void>): void;
}

/** The model that a host serves. */
export interface HostModel {
  /** The whole model's config.json, as transformers has it: `model_type`, `architectures`, `vision_config`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** The checkpoint's directory. Optional if the plugin has one in its options. */
  readonly path?: string;
  /** Columns of an embedding that the loaded language model takes, if the host does not take them from `config`. */
  readonly embeddingColumns?: number;
}

/** The encoder that a host gets, for all modalities that it was registered for. */
export interface MultimodalEncoder {
  readonly specificationVersion: typeof SPECIFICATION_VERSION;
  readonly modalities: readonly Modality[];
  /**
   * Columns of an embedding: the language model's hidden size, times one more than there are deepstack levels. The merged
   * embedding's columns come first, then those of each level.
   */
  readonly out_hidden_size: number;
  /**
   * The size of each item, without encoding it: `inputSize` patches in, `outputTokens` rows out. A host counts these rows;
   * vitgraph packs by `budgetTokens`. One outcome per item, in order; a rejection is a `VitgraphError` and concerns only
   * its item. Headers of encoded images are read in the order of priority and shares, as for {@link encode}.
   */
  getItemSpecs(
    items: readonly EngineItem[],
    options?: EncodeOptions,
  ): Promise<PromiseSettledResult<ItemSpec>[]>;
  /**
   * The embeddings, [outputTokens, out_hidden_size] each, in bf16 (from a GPU) or f32: `bytes` as computed, `data`
   * widened. They are memory of the host. One outcome per item, in order; images and videos may be mixed. Items of many
   * calls share batches. `options` have the request's signal, priority, `timeoutMs` from now, and `caller` for fair
   * sharing. `onItemSpecs` gets the sizes before anything is encoded.
   *
   * A rejection of one item is a `VitgraphError`: VG_IMAGE_INVALID, VG_IMAGE_TOO_LARGE, VG_IMAGE_ASPECT_RATIO,
   * VG_ITEM_INVALID, VG_PACKAGE_UNAVAILABLE (an image as bytes, and no sharp), VG_OUTPUT_NOT_FINITE, VG_ABORTED,
   * VG_DEADLINE_EXCEEDED, VG_DEVICE_FAILED. The whole call rejects before any item is accepted: VG_QUEUE_FULL (try
   * again later), VG_CLOSED, VG_DEVICE_FAILED if no device is left, VG_ABORTED, VG_DEADLINE_EXCEEDED,
   * VG_ARGUMENT_INVALID.
   */
  encode(items: readonly EngineItem[], options?: EncodeOptions): Promise<PromiseSettledResult<Embedding>[]>;
  /** The smallest and the largest token budget that make sense for the model. */
  budgetRange(): BudgetRange;
  /** vLLM's statistics, since the engine started. */
  stats(): GraphStatistics;
}

/** Registers an encoder with hosts. `createEncoderPlugin` makes it. */
export interface EncoderPlugin {
  readonly [ENCODER_PLUGIN]: typeof SPECIFICATION_VERSION;
  readonly name: "vitgraph";
  readonly specificationVersion: typeof SPECIFICATION_VERSION;
  /**
   * Checks the host, starts an engine for its model, and registers the encoder. On failure everything is undone. One
   * plugin may serve several hosts, each with its own engine.
   * @throws VG_REGISTRATION_FAILED, with one of {@link REGISTRATION_FAILURES} as `details.reason`
   */
  register(host: HostEngine): Promise<Registration>;
}

/** A host with its engine. Disposing it closes it. */
export interface Registration extends AsyncDisposable {
  readonly modalities: readonly Modality[];
  readonly encoder: MultimodalEncoder;
  /** Removes the encoder from the host, lets the engine finish accepted requests, and closes it. */
  close(): Promise<void>;
}

/** Reasons for a failed registration. Published names keep their meaning. */
export const REGISTRATION_FAILURES = {
  host_malformed: "The host lacks a part of the contract.",
  version: "Host and plugin speak no common version of the specification.",
  already_registered: "The host has a registration of vitgraph, or one is under way.",
  model_unsupported: "The host's model is not one that vitgraph encodes.",
  model_missing: "Nobody says where the checkpoint is.",
  config_invalid: "The host's compilation config is invalid.",
  modality_taken: "The host has an encoder for the modality.",
  engine_failed: "The engine did not start: the cause says why.",
  model_mismatch: "The checkpoint's embeddings do not have the width that the host's model takes.",
  host_refused: "The host threw when the encoder was handed to it.",
  host_closed: "The host was closed while the engine started.",
} as const satisfies Record<string, string>;

/** `details.reason` of `VG_REGISTRATION_FAILED`. */
export type RegistrationFailure = keyof typeof REGISTRATION_FAILURES;

/** True for plugins of every copy of this package, of whichever version: see `specificationVersion`. */
export function isEncoderPlugin(value: unknown): value is EncoderPlugin {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as { [ENCODER_PLUGIN]?: unknown })[ENCODER_PLUGIN] === "number"
  );
}
