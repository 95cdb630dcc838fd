/**
 * The checks of a host before an engine is started for it, in this order, each with its own failure reason. Hosts may be
 * untyped, so every field is checked.
 */
import { type EncoderOptions, encoderOptions, parseCompilationConfig } from "@vitgraph/config";
import { describe, isRecord, VitgraphError } from "@vitgraph/errors";
import { isFunction } from "../engine/option-rules.js";
import { createVisionModel } from "../models/index.js";
import { embeddingColumns, type VisionModel } from "../models/vision-model.js";
import { isLogger } from "../observability/logger.js";
import {
  type HostEngine,
  type Modality,
  type RegistrationFailure,
  SPECIFICATION_VERSION,
} from "./contract.js";

/** A host's model and compilation config, parsed. */
export interface CheckedHost {
  readonly vision: VisionModel;
  readonly encoder: EncoderOptions;
}

/** @throws VG_REGISTRATION_FAILED */
export function checkHost(host: HostEngine): CheckedHost {
  checkShape(host);
  checkVersion(host);
  return { vision: checkModel(host), encoder: checkConfig(host) };
}

export function registrationFailed(
  reason: RegistrationFailure,
  fact: string,
  {
    remedy,
    cause,
    ...details
  }: {
    readonly remedy?: string | undefined;
    readonly cause?: unknown;
    readonly [detail: string]: unknown;
  } = {},
): VitgraphError {
  return new VitgraphError("VG_REGISTRATION_FAILED", fact, {
    ...(remedy === undefined ? {} : { remedy }),
    ...(cause === undefined ? {} : { cause }),
    details: { reason, ...details },
  });
}

interface Part {
  readonly expected: string;
  accepts(value: unknown): boolean;
}

const PARTS: { readonly [Name in keyof Required<HostEngine>]: Part } = {
  name: { expected: "a name", accepts: (value) => typeof value === "string" && value !== "" },
  specificationVersions: {
    expected: "a list of numbers",
    accepts: (value) => Array.isArray(value) && value.every(Number.isInteger),
  },
  model: {
    expected: "an object with the model's config",
    accepts: (value) => isRecord(value) && isRecord(value.config),
  },
  compilationConfig: {
    expected: "an object, JSON text, or left out",
    accepts: (value) => value === undefined || isRecord(value) || typeof value === "string",
  },
  takenModalities: { expected: "a function", accepts: isFunction },
  registerMultimodalEncoder: { expected: "a function", accepts: isFunction },
  logger: {
    expected: "an object with debug, info, warn and error, or left out",
    accepts: (value) => value === undefined || isLogger(value),
  },
  onClose: {
    expected: "a function, or left out",
    accepts: (value) => value === undefined || isFunction(value),
  },
};

export function checkShape(host: unknown): asserts host is HostEngine {
  const remedy = "see HostEngine in @vitgraph/core for what a host must have";
  if (!isRecord(host))
    throw registrationFailed("host_malformed", `the host is ${describe(host)}`, { remedy });
  const problems = Object.entries(PARTS).flatMap(([name, { expected, accepts }]) =>
    accepts(host[name]) ? [] : [`${name} must be ${expected}`],
  );
  if (problems.length === 0) return;
  const { name } = host;
  throw registrationFailed(
    "host_malformed",
    `the host ${JSON.stringify(name ?? null)} is malformed: ${problems.join("; ")}`,
    {
      remedy,
      problems,
    },
  );
}

export function checkVersion({ name, specificationVersions }: HostEngine): void {
  if (specificationVersions.includes(SPECIFICATION_VERSION)) return;
  throw registrationFailed(
    "version",
    `${name} speaks version ${specificationVersions.join(", ") || "none"} of the encoder plugin's specification, and this vitgraph version ${SPECIFICATION_VERSION}`,
    {
      remedy: "upgrade whichever is older",
      specificationVersions,
      specificationVersion: SPECIFICATION_VERSION,
    },
  );
}

export function checkModel({ name, model }: HostEngine): VisionModel {
  const vision = visionModelOf(name, model);
  const columns = embeddingColumns(vision);
  const { embeddingColumns: expected = columns } = model;
  if (expected === columns) return vision;
  throw registrationFailed(
    "model_mismatch",
    `the vision model's embeddings have ${columns} columns, and the language model of ${name} takes ${expected}`,
    { remedy: "give both halves of one checkpoint", columns, expected },
  );
}

function visionModelOf(name: string, model: HostEngine["model"]): VisionModel {
  try {
    return createVisionModel(model.config);
  } catch (cause) {
    const { fact, remedy } = factOf(cause);
    throw registrationFailed(
      "model_unsupported",
      `${name} serves a model that vitgraph does not encode: ${fact}`,
      {
        remedy,
        cause,
        model_type: model.config.model_type,
      },
    );
  }
}

/** The only place that parses a host's compilation config. */
export function checkConfig({ name, compilationConfig = {} }: HostEngine): EncoderOptions {
  try {
    const { config } = parseCompilationConfig(compilationConfig, { source: `compilation config of ${name}` });
    return encoderOptions(config);
  } catch (cause) {
    const { fact, remedy } = factOf(cause);
    throw registrationFailed("config_invalid", fact, {
      remedy,
      cause,
      ...(VitgraphError.is(cause) ? { problems: cause.details.problems } : {}),
    });
  }
}

export function checkModalities(host: HostEngine, modalities: readonly Modality[]): void {
  const taken = askHost(host, "takenModalities", () => host.takenModalities());
  if (!Array.isArray(taken)) {
    throw registrationFailed("host_malformed", `takenModalities of ${host.name} does not return a list`, {
      remedy: "return the names of the modalities that have an encoder",
    });
  }
  const modality = modalities.find((wanted) => taken.includes(wanted));
  if (modality === undefined) return;
  throw registrationFailed("modality_taken", `${host.name} has an encoder for ${modality} already`, {
    remedy: `unregister that one, or leave ${modality} out of the plugin's modalities`,
    modality,
    taken,
  });
}

/** Calls a method of the host. @throws VG_REGISTRATION_FAILED with the host's error as its cause */
export function askHost<T>({ name }: HostEngine, method: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw registrationFailed("host_refused", `${name} threw in ${method}: ${factOf(cause).fact}`, {
      remedy: "see the cause; the contract's types say when a host may throw",
      cause,
      method,
    });
  }
}

/** The fact and remedy of a vitgraph error; the message of any other. */
export function factOf(cause: unknown): { readonly fact: string; readonly remedy?: string | undefined } {
  if (VitgraphError.is(cause)) return cause;
  return { fact: cause instanceof Error ? cause.message : String(cause) };
}
