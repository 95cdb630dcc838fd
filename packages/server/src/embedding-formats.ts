/** Embeddings as responses, selected by the Accept header: JSON, `.npy`, safetensors, or parts of a stream. */
import { bytesOf, type Embedding, embeddingPieces, encodeNpy, type IndexedOutcome } from "@vitgraph/core";
import { httpError, ParamError, StatusError } from "./http-errors.js";

export const JSON_TYPE = "application/json";
export const NPY_TYPE = "application/x-npy";
export const SAFETENSORS_TYPE = "application/vnd.safetensors";
export const PARTS_TYPE = "multipart/mixed";

/** The format of a part, or of a whole answer. */
export type TensorType = typeof NPY_TYPE | typeof SAFETENSORS_TYPE;
export type OutputFormat =
  | { readonly type: typeof JSON_TYPE | TensorType }
  | { readonly type: typeof PARTS_TYPE; readonly part: TensorType };

/** Entries of an Accept header that are read; usual clients send fewer. */
const MAX_ACCEPTED = 20;

/** The first type of an Accept header that the server has; preferences (`q`) are not weighed. @throws StatusError 406 */
export function outputFormat(accept = "*/*"): OutputFormat {
  for (const entry of accept.slice(0, 1000).split(",").slice(0, MAX_ACCEPTED)) {
    const [type, ...parameters] = entry.split(";").map((part) => part.trim().toLowerCase());
    if (parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))) continue;
    switch (type) {
      case "*/*":
      case "application/*":
      case JSON_TYPE:
        return { type: JSON_TYPE };
      case NPY_TYPE:
      case SAFETENSORS_TYPE:
        return { type };
      case PARTS_TYPE: {
        const part = parameters
          .find((parameter) => parameter.startsWith("type="))
          ?.slice(5)
          .replaceAll('"', "");
        if (part === undefined || part === SAFETENSORS_TYPE) return { type, part: SAFETENSORS_TYPE };
        if (part === NPY_TYPE) return { type, part };
      }
    }
  }
  throw new StatusError(
    406,
    "the Accept header has no type in which embeddings are sent",
    `use ${JSON_TYPE}, ${NPY_TYPE}, ${SAFETENSORS_TYPE}, or ${PARTS_TYPE}; type=${NPY_TYPE}`,
  );
}

/**
 * A safetensors file in pieces, which share the embeddings' memory: one tensor per image, in the engine's dtype, named by its
 * index: "0".
 */
export function tensorPieces(embeddings: ReadonlyMap<number, Embedding>): readonly Uint8Array[] {
  const named = [...embeddings].map(([index, embedding]) => ({ name: String(index), embedding }));
  return [...embeddingPieces(named)];
}

export function sizeOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** Bytes of a value as the engine returns it, at most: f32 from the CPU, bf16 from a GPU. */
const ENGINE_BYTES = 4;
/** A GPU's value as bf16, and widened to f32. */
const F32_BYTES = 2 + 4;
/** The same, and its copy in the file. */
const NPY_BYTES = F32_BYTES + 4;

/** Bytes that an answer holds at most, the embeddings included. @param values numbers of each image's embedding */
export function answerMemory(format: OutputFormat, values: readonly number[]): number {
  const all = values.reduce((sum, count) => sum + count, 0);
  switch (format.type) {
    case JSON_TYPE:
      return all * F32_BYTES;
    case NPY_TYPE:
      return all * NPY_BYTES;
    case SAFETENSORS_TYPE:
      return all * ENGINE_BYTES;
    case PARTS_TYPE: {
      if (format.part === SAFETENSORS_TYPE) return all * ENGINE_BYTES;
      // One file at a time.
      return all * ENGINE_BYTES + Math.max(0, ...values) * (NPY_BYTES - ENGINE_BYTES);
    }
  }
}

export interface JsonAnswer {
  readonly model: string;
  readonly encoding: "float" | "base64";
  readonly embeddings: readonly Embedding[];
  /** Awaited before each piece: see `RequestState`. */
  readonly turn: () => Promise<void>;
}

/** Numbers written in one turn of the event loop: a few milliseconds. */
const NUMBERS_A_TURN = 32_768;

/** The JSON answer piece by piece: as one text, 64 million numbers would be a gigabyte and hold the event loop for seconds. */
export async function* jsonChunks({ model, encoding, embeddings, turn }: JsonAnswer): AsyncGenerator<string> {
  yield `{"object":"list","model":${JSON.stringify(model)},"data":[`;
  for (const [index, { tokens, columns, grid, data }] of embeddings.entries()) {
    const fields = {
      object: "embedding",
      index,
      shape: [tokens, columns],
      grid_thw: [grid.t, grid.h, grid.w],
    };
    yield `${index === 0 ? "" : ","}${JSON.stringify(fields).slice(0, -1)},"embedding":`;
    yield encoding === "base64" ? '"' : "[";
    // A multiple of three numbers, so that no group of base64 is split.
    const step = encoding === "base64" ? 3 * NUMBERS_A_TURN : NUMBERS_A_TURN;
    for (let at = 0; at < data.length; at += step) {
      await turn();
      const part = data.subarray(at, at + step);
      if (encoding === "base64") yield Buffer.from(bytesOf(part)).toString("base64");
      else yield (at === 0 ? "" : ",") + part.join(",");
    }
    yield encoding === "base64" ? '"}' : "]}";
  }
  const tokens = embeddings.reduce((sum, embedding) => sum + embedding.tokens, 0);
  yield `],"usage":${JSON.stringify({ prompt_tokens: tokens, total_tokens: tokens, image_tokens: tokens })}}`;
}

/**
 * A part for each image, as soon as it is encoded: a whole `.npy` or safetensors file, or the error object if the image
 * failed. The header `x-vitgraph-index` is the image's index in the request.
 */
export async function* partChunks(
  outcomes: AsyncIterable<IndexedOutcome>,
  type: TensorType,
  boundary: string,
): AsyncGenerator<Uint8Array | string> {
  for await (const { index, outcome } of outcomes) {
    if (outcome.status === "rejected") {
      const { status, body } = httpError(new ParamError(`input[${index}]`, outcome.reason));
      const text = JSON.stringify(body);
      yield `${partHead(boundary, index, JSON_TYPE, Buffer.byteLength(text))}x-vitgraph-status: ${status}\r\n\r\n${text}\r\n`;
      continue;
    }
    const { value } = outcome;
    const { t, h, w } = value.grid;
    const pieces = type === NPY_TYPE ? [encodeNpy(value)] : tensorPieces(new Map([[index, value]]));
    yield `${partHead(boundary, index, type, sizeOf(pieces))}x-vitgraph-grid-thw: ${t},${h},${w}\r\n\r\n`;
    yield* pieces;
    yield "\r\n";
  }
  yield `--${boundary}--\r\n`;
}

function partHead(boundary: string, index: number, type: string, sizeBytes: number): string {
  return `--${boundary}\r\ncontent-type: ${type}\r\ncontent-length: ${sizeBytes}\r\nx-vitgraph-index: ${index}\r\n`;
}
