/**
 * The error class and the table of its codes.
 *
 * Every error of a public function is a {@link VitgraphError}. Its text states the fact and then the remedy; its `details`
 * are the same facts as data, so that no caller has to parse the text. Identity is by symbol, not by `instanceof`: two
 * copies of this package in one process recognise each other's errors.
 *
 * Every package imports this one, so the small functions that its checks and messages share stand here too.
 *
 * @module @vitgraph/errors
 */

import { describe, listed } from "./describe.js";
import { isRecord } from "./is-record.js";
import { nearestKey } from "./nearest-key.js";

export { describe, LONGEST_PATH, listed, shorten } from "./describe.js";
export { isRecord } from "./is-record.js";
export { editDistance, nearestKey } from "./nearest-key.js";
export { type JsonOutline, JsonScanner, scanJson } from "./scan-json.js";

/** Every code with its meaning, which does not change once it is published. */
export const ERROR_CODES = {
  VG_CONFIG_INVALID:
    "The configuration does not have the form that its schema asks for, or contradicts itself.",
  VG_ARGUMENT_INVALID: "A function or command was called with a value that it cannot take.",
  VG_MODEL_UNSUPPORTED: "The checkpoint's architecture is not one that vitgraph knows.",
  VG_MODEL_INVALID: "The checkpoint's config.json is missing, unreadable or inconsistent.",
  VG_WEIGHTS_INVALID:
    "A safetensors file is damaged, or a tensor is missing or has the wrong shape or dtype.",
  VG_IMAGE_INVALID: "The bytes are not an image that can be decoded.",
  VG_IMAGE_TOO_LARGE:
    "The image has more pixels, or takes more memory or work to decode, than the limits allow.",
  VG_IMAGE_ASPECT_RATIO: "The image is too elongated for the model's patch grid.",
  VG_VIDEO_INVALID: "The file is not a video that can be decoded.",
  VG_VIDEO_DECODER_MISSING: "Decoding a video needs ffmpeg, and it cannot be run.",
  VG_PACKAGE_UNAVAILABLE: "An optional package that the work needs is not installed or cannot be loaded.",
  VG_ITEM_INVALID: "An item's grid and pixel rows do not fit together, or its grid cannot be merged.",
  VG_OUTPUT_NOT_FINITE: "The encoder produced NaN or infinity for an item.",
  VG_GRAPH_INVALID: "An op graph breaks the rules of its vocabulary.",
  VG_PROGRAM_INVALID: "A program does not follow the ABI: unknown kernel, wrong buffers, version or bounds.",
  VG_BACKEND_UNAVAILABLE: "The backend that was asked for is not built, or cannot run on this machine.",
  VG_DEVICE_OUT_OF_MEMORY: "The device has not enough memory for what was asked.",
  VG_DEVICE_FAILED: "The device reported an error while it was running.",
  VG_DISPOSED: "The object was used after it had been disposed.",
  VG_QUEUE_FULL: "The queue is at its limit, and refuses rather than grows.",
  VG_ABORTED: "The caller cancelled the work.",
  VG_DEADLINE_EXCEEDED: "The deadline passed before the work could be done.",
  VG_CLOSED: "The queue or engine is closed, and takes no more work.",
  VG_REQUEST_INVALID:
    "An HTTP request is malformed, too large, or for a path or form that the server does not have.",
  VG_API_KEY_INVALID: "An HTTP request has no API key, or a wrong one.",
  VG_MEDIA_REFUSED: "The URL or path of an image is outside those that the server may read.",
  VG_MEDIA_UNAVAILABLE: "The URL or path of an image gives no file.",
  VG_REGISTRATION_FAILED: "A host could not take the encoder plugin; details.reason names why.",
  VG_FILE_UNREADABLE: "A file or directory could not be read.",
  VG_FILE_UNWRITABLE: "A file could not be written.",
  VG_INTERNAL: "A check inside vitgraph failed: this is a bug worth reporting.",
} as const satisfies Record<`VG_${string}`, string>;

/** The codes of {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** The optional parts of an error. */
export interface VitgraphErrorOptions {
  /** What to do about it, as a sentence without a leading capital: "raise the budget or lower …". */
  remedy?: string;
  /** The facts of the message as plain data. */
  details?: Readonly<Record<string, unknown>>;
  cause?: unknown;
}

const IDENTITY = Symbol.for("vitgraph.error");

/** Every error of vitgraph: a stable code, the fact, the remedy, and the facts as data. */
export class VitgraphError extends Error {
  readonly code: ErrorCode;
  /** The message without the remedy. */
  readonly fact: string;
  readonly remedy: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly [IDENTITY] = true;

  constructor(code: ErrorCode, fact: string, options: VitgraphErrorOptions = {}) {
    super(
      options.remedy === undefined ? fact : `${fact}: ${options.remedy}`,
      "cause" in options ? { cause: options.cause } : undefined,
    );
    this.name = "VitgraphError";
    this.code = code;
    this.fact = fact;
    this.remedy = options.remedy;
    this.details = options.details ?? {};
  }

  /** True for every vitgraph error, whichever copy of this package made it. */
  static is(value: unknown): value is VitgraphError {
    return (
      typeof value === "object" && value !== null && (value as { [IDENTITY]?: unknown })[IDENTITY] === true
    );
  }

  /** Code, message, remedy and details as plain data, for logs and responses. */
  toJSON(): {
    code: ErrorCode;
    message: string;
    remedy?: string;
    details: Readonly<Record<string, unknown>>;
  } {
    return {
      code: this.code,
      message: this.message,
      ...(this.remedy === undefined ? {} : { remedy: this.remedy }),
      details: this.details,
    };
  }
}

/** `value` itself if it is a vitgraph error; otherwise a vitgraph error with `value` as its cause. */
export function toVitgraphError(
  value: unknown,
  code: ErrorCode,
  fact: string,
  remedy?: string,
): VitgraphError {
  if (VitgraphError.is(value)) return value;
  const reason = value instanceof Error ? value.message : String(value);
  return new VitgraphError(code, `${fact} (${reason})`, {
    cause: value,
    ...(remedy === undefined ? {} : { remedy }),
  });
}

/** For the default branch of a switch over a union: the type checker verifies that it is unreachable. */
export function unreachable(value: never, what: string): never {
  throw new VitgraphError("VG_INTERNAL", `unexpected ${what}: ${JSON.stringify(value)}`);
}

/** Most unknown options named in one message. */
const MOST_NAMED = 5;

/**
 * Checks that `options` is an object with known keys only: a misspelt option would otherwise be ignored.
 * @param owner the function, for the message: "createDevice"
 * @throws VG_ARGUMENT_INVALID
 */
export function checkOptions(
  owner: string,
  options: unknown,
  known: readonly string[],
): asserts options is object {
  if (!isRecord(options)) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `the options of ${owner} are ${describe(options)}`, {
      remedy: "pass an object",
    });
  }
  const unknown = Object.keys(options).filter((key) => !known.includes(key));
  if (unknown.length === 0) return;
  const hints = unknown.slice(0, MOST_NAMED).map((key) => unknownOption(key, known));
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `${owner} has no option ${listed(unknown, MOST_NAMED, describe)}`,
    { remedy: [...new Set(hints)].join("; "), details: { unknown: unknown.length } },
  );
}

/** A hint: the nearest option, or all of them. */
export function unknownOption(key: string, known: readonly string[]): string {
  const nearest = nearestKey(key, known);
  return nearest === undefined ? `the options are ${known.join(", ")}` : `did you mean "${nearest}"?`;
}
