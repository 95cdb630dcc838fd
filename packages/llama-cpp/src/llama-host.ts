/** llama.cpp as a host of the plugin contract: takes an encoder for each modality, and calls it. */
import {
  type Embedding,
  type EncodeOptions,
  type EngineItem,
  type HostEngine,
  type HostModel,
  type Modality,
  type MultimodalEncoder,
  SPECIFICATION_VERSION,
} from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";

export interface ModalityItem {
  readonly modality: Modality;
  readonly item: EngineItem;
}

export class LlamaHost implements HostEngine {
  readonly name = "llama.cpp";
  readonly specificationVersions = [SPECIFICATION_VERSION];
  readonly model: HostModel;
  readonly compilationConfig: NonNullable<HostEngine["compilationConfig"]>;
  readonly #encoders = new Map<Modality, MultimodalEncoder>();
  readonly #closeListeners: (() => Promise<void>)[] = [];
  #closing: Promise<void> | undefined;

  constructor(model: HostModel, compilationConfig: HostEngine["compilationConfig"] = {}) {
    this.model = model;
    this.compilationConfig = compilationConfig;
  }

  takenModalities(): readonly Modality[] {
    return [...this.#encoders.keys()];
  }

  registerMultimodalEncoder(modality: Modality, encoder: MultimodalEncoder): () => void {
    if (this.#encoders.has(modality)) {
      throw new VitgraphError("VG_ARGUMENT_INVALID", `${modality} has an encoder already`, {
        remedy: "unregister that one",
      });
    }
    this.#encoders.set(modality, encoder);
    let isRegistered = true;
    return () => {
      if (isRegistered) this.#encoders.delete(modality);
      isRegistered = false;
    };
  }

  onClose(listener: () => Promise<void>): void {
    this.#closeListeners.push(listener);
  }

  /**
   * Encodes a request's items in one call per encoder, so that they share batches. One outcome per item, in their order.
   * @throws VG_ARGUMENT_INVALID if a modality has no encoder; the encoder's error for the whole call
   */
  async encode(
    items: readonly ModalityItem[],
    options: EncodeOptions,
  ): Promise<readonly PromiseSettledResult<Embedding>[]> {
    return this.#ask(items, (encoder, given) => encoder.encode(given, options));
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      const outcomes = await Promise.allSettled(this.#closeListeners.map(async (listener) => listener()));
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    })();
    return this.#closing;
  }

  async #ask<Answer>(
    items: readonly ModalityItem[],
    ask: (
      encoder: MultimodalEncoder,
      items: readonly EngineItem[],
    ) => Promise<readonly PromiseSettledResult<Answer>[]>,
  ): Promise<readonly PromiseSettledResult<Answer>[]> {
    const encoders = items.map(({ modality }) => this.#encoderOf(modality));
    const outcomes = new Array<PromiseSettledResult<Answer>>(items.length);
    for (const encoder of new Set(encoders)) {
      const indices = [...items.keys()].filter((index) => encoders[index] === encoder);
      const answers = await ask(
        encoder,
        indices.map((index) => (items[index] as ModalityItem).item),
      );
      for (const [at, index] of indices.entries()) {
        outcomes[index] = answers[at] as PromiseSettledResult<Answer>;
      }
    }
    return outcomes;
  }

  #encoderOf(modality: Modality): MultimodalEncoder {
    const encoder = this.#encoders.get(modality);
    if (encoder !== undefined) return encoder;
    throw new VitgraphError("VG_ARGUMENT_INVALID", `the model takes no part of type ${modality}`, {
      remedy: "remove it from the messages",
    });
  }
}
