/**
 * The plugin: registers an encoder engine with a host engine, and unregisters it.
 *
 * The host is checked first, then the engine starts, which takes seconds. What may have changed meanwhile (a modality was
 * taken, the host was closed) is checked again before anything is registered.
 */
import { EncoderEngine } from "../engine/encoder-engine.js";
import { VIDEO_PROCESSOR_DEFAULTS } from "../models/index.js";
import { embeddingColumns } from "../models/vision-model.js";
import { EngineLog } from "../observability/engine-log.js";
import { standardErrorLogger } from "../observability/logger.js";
import { graphStatistics } from "../runtime/stats.js";
import {
  askHost,
  type CheckedHost,
  checkHost,
  checkModalities,
  factOf,
  registrationFailed,
} from "./check-host.js";
import {
  ENCODER_PLUGIN,
  type EncoderPlugin,
  type HostEngine,
  MODALITIES,
  type Modality,
  type MultimodalEncoder,
  type Registration,
  SPECIFICATION_VERSION,
} from "./contract.js";
import type { EncoderEngineLike } from "./engine-like.js";
import { checkPluginOptions, type EncoderPluginOptions } from "./plugin-options.js";

/**
 * Creates a plugin that registers vitgraph's encoder with hosts. Nothing starts before `register`.
 * @throws VG_ARGUMENT_INVALID naming every invalid option
 */
export function createEncoderPlugin(options: EncoderPluginOptions = {}): EncoderPlugin {
  checkPluginOptions(options);
  return {
    [ENCODER_PLUGIN]: SPECIFICATION_VERSION,
    name: "vitgraph",
    specificationVersion: SPECIFICATION_VERSION,
    register: async (host) => {
      const checked = checkHost(host);
      if (joinedHosts.has(host)) {
        const fact = `${host.name} has a registration of vitgraph already`;
        throw registrationFailed("already_registered", fact, { remedy: "close that one first" });
      }
      const modalities = modalitiesFor(host, checked, options);
      checkModalities(host, modalities);
      joinedHosts.add(host);
      try {
        return await join(host, checked, { ...options, modalities });
      } catch (error) {
        joinedHosts.delete(host);
        throw error;
      }
    },
  };
}

/** All that the model takes, or those that were asked for. */
function modalitiesFor(
  host: HostEngine,
  { vision }: CheckedHost,
  { modalities }: EncoderPluginOptions,
): readonly Modality[] {
  if (VIDEO_PROCESSOR_DEFAULTS[vision.modelType] !== undefined) return modalities ?? MODALITIES;
  if (modalities?.includes("video") !== true) return modalities ?? ["image"];
  throw registrationFailed("model_unsupported", `the model of ${host.name} takes no videos`, {
    remedy: "leave video out of the plugin's modalities",
  });
}

/** Hosts that have a registration, or are getting one. */
const joinedHosts = new WeakSet<HostEngine>();

async function join(
  host: HostEngine,
  { vision, encoder }: CheckedHost,
  options: EncoderPluginOptions & { readonly modalities: readonly Modality[] },
): Promise<Registration> {
  const {
    modalities,
    logger = host.logger ?? standardErrorLogger({ verbose: encoder.verbose }),
    observers = [],
    model = host.model.path,
    backend = "auto",
    device,
    engine: running,
    createEngine = EncoderEngine.start,
    ...engineOptions
  } = options;
  if (model === undefined) {
    throw registrationFailed("model_missing", `${host.name} does not say where its checkpoint is`, {
      remedy: "set the host's model.path, or the plugin's option model",
    });
  }
  const columns = embeddingColumns(vision);
  const start = () =>
    createEngine(
      {
        ...engineOptions,
        model,
        devices: [device]
          .flat()
          .map((ordinal) => (ordinal === undefined ? { backend } : { backend, device: ordinal })),
        observers: [new EngineLog({ logger, verbose: encoder.verbose }), ...observers],
      },
      encoder,
    );
  const starting = (running === undefined ? startEngine(host, start) : Promise.resolve(running)).then(
    (engine) => new JoinedHost(host, engine, modalities, running === undefined),
  );
  // Undefined if it did not start.
  const started = starting.catch(() => undefined);
  try {
    let hostClosed = false;
    askHost(host, "onClose", () =>
      host.onClose?.(async () => {
        hostClosed = true;
        await (await started)?.close();
      }),
    );
    const joined = await starting;
    checkWidth(host, joined.engine, columns);
    if (hostClosed) {
      throw registrationFailed("host_closed", `${host.name} was closed while the engine started`, {
        remedy: "register with a host that is open",
      });
    }
    checkModalities(host, modalities);
    joined.handOver();
    return joined;
  } catch (error) {
    // Errors of closing are dropped: the caller needs the reason of the failed registration.
    await (await started)?.close().catch(() => {});
    throw error;
  }
}

async function startEngine(
  host: HostEngine,
  start: () => Promise<EncoderEngineLike>,
): Promise<EncoderEngineLike> {
  try {
    return await start();
  } catch (cause) {
    const { fact, remedy } = factOf(cause);
    throw registrationFailed("engine_failed", `the engine for ${host.name} did not start: ${fact}`, {
      remedy,
      cause,
    });
  }
}

function checkWidth(host: HostEngine, engine: EncoderEngineLike, expected: number): void {
  const columns = embeddingColumns(engine.model.vision);
  if (columns === expected) return;
  throw registrationFailed(
    "model_mismatch",
    `the checkpoint's embeddings have ${columns} columns, and the model of ${host.name} takes ${expected}`,
    { remedy: "give the plugin the checkpoint that the host serves", columns, expected },
  );
}

/** The engine as hosts see it. */
export function multimodalEncoder(
  engine: EncoderEngineLike,
  modalities: readonly Modality[],
): MultimodalEncoder {
  return {
    specificationVersion: SPECIFICATION_VERSION,
    modalities,
    out_hidden_size: embeddingColumns(engine.model.vision),
    getItemSpecs: (items, options) => engine.getItemSpecs(items, options),
    encode: (items, options) => engine.encode(items, options),
    budgetRange: () => engine.budgetRange(),
    stats: () => graphStatistics(engine.stats()),
  };
}

class JoinedHost implements Registration {
  readonly modalities: readonly Modality[];
  readonly encoder: MultimodalEncoder;
  readonly engine: EncoderEngineLike;
  readonly #host: HostEngine;
  readonly #ownsEngine: boolean;
  readonly #unregister: (() => void)[] = [];
  #closing: Promise<void> | undefined;

  constructor(
    host: HostEngine,
    engine: EncoderEngineLike,
    modalities: readonly Modality[],
    ownsEngine: boolean,
  ) {
    this.#host = host;
    this.#ownsEngine = ownsEngine;
    this.engine = engine;
    this.modalities = modalities;
    this.encoder = multimodalEncoder(engine, modalities);
  }

  /** @throws VG_REGISTRATION_FAILED; {@link close} unregisters the modalities that were registered by then. */
  handOver(): void {
    for (const modality of this.modalities) this.#unregister.push(this.#register(modality));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #register(modality: Modality): () => void {
    const { name } = this.#host;
    const unregister: unknown = askHost(this.#host, "registerMultimodalEncoder", () =>
      this.#host.registerMultimodalEncoder(modality, this.encoder),
    );
    if (typeof unregister === "function") return unregister as () => void;
    throw registrationFailed(
      "host_malformed",
      `registerMultimodalEncoder of ${name} returned ${unregister === null ? "null" : `a value of type ${typeof unregister}`}`,
      { remedy: "return the function that takes the encoder off again", modality },
    );
  }

  async #close(): Promise<void> {
    const failures: unknown[] = [];
    for (const unregister of this.#unregister.splice(0)) {
      try {
        askHost(this.#host, "what registerMultimodalEncoder returned", unregister);
      } catch (failure) {
        failures.push(failure);
      }
    }
    joinedHosts.delete(this.#host);
    // After unregistering no new call arrives, and the engine finishes the accepted ones.
    if (this.#ownsEngine) await this.engine.close();
    if (failures.length > 0) throw failures[0];
  }
}
