/** Errors → OpenAI's error objects and HTTP status codes. */
import type { ErrorCode } from "@vitgraph/errors";
import { VitgraphError } from "@vitgraph/errors";

/** The body of every answer that is not 2xx. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: "invalid_request_error" | "authentication_error" | "rate_limit_error" | "server_error";
    /** The member of the request that is wrong: "input[2]". */
    readonly param: string | null;
    readonly code: ErrorCode;
    /** The message without the remedy. */
    readonly fact: string;
    readonly remedy: string | null;
  };
}

/** Codes that are not here are the server's fault: 500. */
const STATUS: Partial<Readonly<Record<ErrorCode, number>>> = {
  VG_REQUEST_INVALID: 400,
  VG_ARGUMENT_INVALID: 400,
  VG_IMAGE_INVALID: 400,
  VG_IMAGE_ASPECT_RATIO: 400,
  VG_ITEM_INVALID: 400,
  VG_VIDEO_INVALID: 400,
  VG_MEDIA_UNAVAILABLE: 400,
  VG_API_KEY_INVALID: 401,
  VG_MEDIA_REFUSED: 403,
  VG_IMAGE_TOO_LARGE: 413,
  VG_QUEUE_FULL: 429,
  // nginx's status for a client that has disconnected. It only shows in log and metrics.
  VG_ABORTED: 499,
  VG_VIDEO_DECODER_MISSING: 501,
  VG_CLOSED: 503,
  VG_DEVICE_FAILED: 503,
  VG_DEVICE_OUT_OF_MEMORY: 503,
  VG_DEADLINE_EXCEEDED: 504,
};

const TYPES: Readonly<Record<number, ErrorBody["error"]["type"]>> = {
  401: "authentication_error",
  429: "rate_limit_error",
};

export interface HttpError {
  readonly status: number;
  readonly body: ErrorBody;
}

/** An error of one member of the request. */
export class ParamError extends Error {
  /** "model", "input[2]". */
  readonly param: string;
  override readonly cause: unknown;

  constructor(param: string, cause: unknown) {
    super(`${param} is wrong`);
    this.param = param;
    this.cause = cause;
  }
}

/** Codes of errors that end a whole call and are not caused by an item. */
const CALL_ERRORS: readonly string[] = ["VG_ABORTED", "VG_DEADLINE_EXCEEDED", "VG_CLOSED"];

/** The error of an item of a call, with its place in the request. */
export function itemError(param: string, reason: unknown): unknown {
  return VitgraphError.is(reason) && !CALL_ERRORS.includes(reason.code)
    ? new ParamError(param, reason)
    : reason;
}

/** An error that comes with its own status: 404, 406, 413, 415. */
export class StatusError extends VitgraphError {
  readonly statusCode: number;

  constructor(statusCode: number, fact: string, remedy: string) {
    super("VG_REQUEST_INVALID", fact, { remedy });
    this.statusCode = statusCode;
  }
}

/** @throws ParamError 404 for another model than the route's */
export function checkModel(model: string | undefined, served: string): void {
  if (model === undefined || model === served) return;
  const error = new StatusError(404, "the model is not served here", `use ${JSON.stringify(served)}`);
  throw new ParamError("model", error);
}

/** The response for any error. The text of an unexpected error only goes to the log. */
export function httpError(error: unknown): HttpError {
  if (error instanceof ParamError) return withParam(httpError(error.cause), error.param);
  if (VitgraphError.is(error)) {
    const status = error instanceof StatusError ? error.statusCode : (STATUS[error.code] ?? 500);
    return answer(status, error.code, error.fact, error.remedy);
  }
  const { statusCode, message } = error as { readonly statusCode?: unknown; readonly message: string };
  // Fastify's own errors: a body that is too large, of an unknown type, or not valid.
  if (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500)
    return answer(statusCode, "VG_REQUEST_INVALID", message, undefined);
  return answer(500, "VG_INTERNAL", "the request failed", "look for its x-request-id in the server's log");
}

function withParam({ status, body: { error } }: HttpError, param: string): HttpError {
  return { status, body: { error: { ...error, param } } };
}

/** Options that remedies name, and the flags of `vitgraph serve` that set them. */
const FLAGS = new Map([
  ["allowedMediaDomains", "--allowed-media-domains"],
  ["allowedLocalMediaPath", "--allowed-local-media-path"],
  ["maxItems", "--max-items"],
  ["maxPixels", "--max-pixels"],
  ["maxImageBytes", "--max-image-bytes"],
  ["maxBodyBytes", "--max-body-bytes"],
  ["maxResponseBytes", "--max-response-bytes"],
  ["maxRequestMemoryBytes", "--max-request-memory"],
  ["chatMs", "--chat-timeout"],
]);

/** Puts an option's flag in front of its name: the server runs from the command line, or in a program. */
function withFlags(remedy: string): string {
  return remedy.replace(/\b[a-z]+[A-Z]\w+/g, (name) =>
    FLAGS.has(name) ? `${FLAGS.get(name)} (${name})` : name,
  );
}

function answer(status: number, code: ErrorCode, fact: string, given: string | undefined): HttpError {
  const remedy = given === undefined ? undefined : withFlags(given);
  const type = TYPES[status] ?? (status < 500 ? "invalid_request_error" : "server_error");
  const message = remedy === undefined ? fact : `${fact}: ${remedy}`;
  return { status, body: { error: { message, type, param: null, code, fact, remedy: remedy ?? null } } };
}
