/**
 * A host engine without a language model. It registers encoders, lets them encode the items of its requests, and
 * records everything. It keeps the plugin contract, unless a test selects one of the `HOST_FAULTS`.
 */
import type { CompilationConfigInput } from "@vitgraph/config";
import type { EngineItem } from "../engine/engine-item.js";
import { nextTurn } from "../next-turn.js";
import type { Logger } from "../observability/logger.js";
import type { HostEngine, HostModel, Modality, MultimodalEncoder } from "../plugin/contract.js";
import type { Embedding } from "../runtime/embedding.js";
import type { HostUnderTest, ServeOptions } from "./host-conformance.js";
import { MINIATURE_CONFIG } from "./miniature-checkpoint.js";

/** Known ways to break the contract. */
export const HOST_FAULTS = [
  "lacks_a_method",
  "speaks_no_known_version",
  "serves_an_unknown_model",
  "hands_over_an_invalid_config",
  "logger_throws",
  "hides_taken_modalities",
  "takes_a_second_encoder",
  "keeps_calling_a_lost_encoder",
  "keeps_a_lost_encoder_listed",
  "lets_a_stale_unregister_work",
  "reorders_items",
  "fails_the_request_for_one_item",
  "keeps_cancellations_to_itself",
  "drops_the_priority",
  "drops_the_time_limit",
  "passes_the_time_limit_in_seconds",
  "passes_the_time_limit_as_a_deadline",
  "drops_the_caller",
  "drops_the_uuids",
  "mixes_requests_up",
  "closes_without_telling",
  "closes_without_waiting",
] as const;
/** A rule of the plugin contract that a fake host breaks. */
export type HostFault = (typeof HOST_FAULTS)[number];

/** Options of a fake host: its model, its compilation config, and the fault that it has. */
export interface FakeHostOptions {
  readonly misbehave?: HostFault;
  readonly model?: HostModel;
  readonly compilationConfig?: CompilationConfigInput | string;
  /** Modalities that the host encodes itself. */
  readonly taken?: readonly string[];
}

export class FakeHost implements HostEngine, HostUnderTest {
  readonly name = "fake host";
  readonly specificationVersions: readonly number[];
  readonly model: HostModel;
  readonly compilationConfig: CompilationConfigInput | string;
  readonly logger: Logger;
  /** Messages passed to the host's logger, with their levels. */
  readonly logged: string[] = [];
  /** Served requests, in order. */
  readonly requests: { readonly modality: Modality; readonly items: readonly EngineItem[] }[] = [];
  readonly #fault: HostFault | undefined;
  readonly #encoders = new Map<string, MultimodalEncoder | "its own">();
  readonly #listeners: (() => Promise<void>)[] = [];
  #lastEncoder: MultimodalEncoder | undefined;
  #lastOutcomes: readonly PromiseSettledResult<Embedding>[] = [];

  constructor({
    misbehave,
    model = { config: MINIATURE_CONFIG, path: "path/to/checkpoint" },
    compilationConfig = { cudagraph_mm_encoder: true },
    taken = [],
  }: FakeHostOptions = {}) {
    this.#fault = misbehave;
    this.specificationVersions = misbehave === "speaks_no_known_version" ? [2] : [1];
    this.model =
      misbehave === "serves_an_unknown_model"
        ? { config: { model_type: "llava", architectures: ["LlavaForConditionalGeneration"] } }
        : model;
    this.compilationConfig =
      misbehave === "hands_over_an_invalid_config"
        ? { encoder_cudagraph_token_budgets: [0] }
        : compilationConfig;
    if (misbehave === "lacks_a_method") Object.assign(this, { takenModalities: undefined });
    for (const modality of taken) this.#encoders.set(modality, "its own");
    const log = (level: string) => (_: object, message: string) => {
      if (misbehave === "logger_throws" && level === "error") throw new Error("the log is full");
      this.logged.push(`${level} ${message}`);
    };
    this.logger = { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
  }

  /** This object, as the contract names it. */
  get host(): HostEngine {
    return this;
  }

  takenModalities(): readonly string[] {
    return this.#fault === "hides_taken_modalities" ? [] : [...this.#encoders.keys()];
  }

  registerMultimodalEncoder(modality: Modality, encoder: MultimodalEncoder): () => void {
    if (this.#encoders.has(modality) && this.#fault !== "takes_a_second_encoder") {
      throw new Error(`${modality} has an encoder`);
    }
    this.#encoders.set(modality, encoder);
    this.#lastEncoder = encoder;
    return () => {
      if (this.#fault === "keeps_a_lost_encoder_listed") return;
      const isItsOwn = this.#encoders.get(modality) === encoder;
      if (isItsOwn || this.#fault === "lets_a_stale_unregister_work") this.#encoders.delete(modality);
    };
  }

  onClose(listener: () => Promise<void>): void {
    this.#listeners.push(listener);
  }

  /** Encodes the items of a request. */
  async serve(
    modality: Modality,
    items: readonly EngineItem[],
    options: ServeOptions = {},
  ): Promise<readonly PromiseSettledResult<Embedding>[]> {
    const kept = this.#fault === "keeps_calling_a_lost_encoder" ? this.#lastEncoder : undefined;
    const encoder = this.#encoders.get(modality) ?? kept;
    if (encoder === undefined || encoder === "its own") throw new Error(`no plugin encodes ${modality}`);
    this.requests.push({ modality, items });
    const ordered = this.#fault === "reorders_items" ? items.toReversed() : items;
    const given = this.#fault === "drops_the_uuids" ? ordered.map(withoutUuid) : ordered;
    const outcomes = await encoder.encode(given, this.#passedOn(options));
    if (this.#fault === "fails_the_request_for_one_item") {
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    }
    if (this.#fault !== "mixes_requests_up") return outcomes;
    this.#lastOutcomes = outcomes;
    await nextTurn();
    return this.#lastOutcomes;
  }

  /** The options that the host passes to the encoder. */
  #passedOn(options: ServeOptions): ServeOptions {
    const passed: { -readonly [Name in keyof ServeOptions]: ServeOptions[Name] } = { ...options };
    if (this.#fault === "keeps_cancellations_to_itself") delete passed.signal;
    if (this.#fault === "drops_the_priority") delete passed.priority;
    if (this.#fault === "drops_the_time_limit") delete passed.timeoutMs;
    if (this.#fault === "drops_the_caller") delete passed.caller;
    if (passed.timeoutMs === undefined) return passed;
    if (this.#fault === "passes_the_time_limit_in_seconds") passed.timeoutMs /= 1000;
    if (this.#fault === "passes_the_time_limit_as_a_deadline") passed.timeoutMs += Date.now();
    return passed;
  }

  async close(): Promise<void> {
    if (this.#fault === "closes_without_telling") return;
    const told = Promise.all(this.#listeners.map((listener) => listener()));
    if (this.#fault !== "closes_without_waiting") await told;
  }
}

function withoutUuid({ uuid: _, ...item }: EngineItem): EngineItem {
  return item;
}

/** A host that satisfies the contract, or breaks it in the way of `options`. */
export function createFakeHost(options: FakeHostOptions = {}): FakeHost {
  return new FakeHost(options);
}
