/** The images of a request: named in JSON, or as the parts of a form. */
import { VitgraphError } from "@vitgraph/errors";
import type { FastifyRequest } from "fastify";
import { ParamError, StatusError } from "./http-errors.js";
import { tooLarge } from "./media/fetch-url.js";
import { type MediaPolicy, readMedia } from "./media/read-media.js";
import { requestState } from "./request-state.js";
import type { ServerLimits } from "./server-options.js";

type ImageUrl = string | { readonly url: string; readonly detail?: string };

/** An image as JSON names it: a data URL, an http(s) URL, a path, or an object with one of these. */
export type ImageInput =
  | string
  | { readonly type?: "image_url"; readonly image?: string; readonly image_url?: ImageUrl };

export interface EmbeddingsBody {
  readonly model?: string;
  readonly input: ImageInput | readonly ImageInput[];
  readonly encoding_format?: "float" | "base64";
}

export interface RequestedImages {
  readonly images: readonly Uint8Array[];
  readonly model: string | undefined;
  readonly encoding: "float" | "base64";
}

/** @throws ParamError with an error of {@link readMedia} */
export async function readJsonImages(request: FastifyRequest, policy: MediaPolicy): Promise<RequestedImages> {
  const { input, model, encoding_format: encoding = "float" } = request.body as EmbeddingsBody;
  const state = requestState(request);
  const inputs = Array.isArray(input) ? (input as readonly ImageInput[]) : [input as ImageInput];
  const images = await Promise.all(
    inputs.map(async (image, index) => {
      try {
        return await readMedia(sourceOf(image), policy, state);
      } catch (error) {
        throw new ParamError(`input[${index}]`, error);
      }
    }),
  );
  return { images, model, encoding };
}

function sourceOf(image: ImageInput): string {
  if (typeof image === "string") return image;
  const { image: plain, image_url: url } = image;
  const given = plain ?? (typeof url === "string" ? url : url?.url);
  if (given === undefined || (plain !== undefined && url !== undefined))
    throw new StatusError(400, "an image has not exactly one of image and image_url", "give one of them");
  return given;
}

/** @fastify/multipart's statuses for a limit and for a body that is not a form. */
const FORM_STATUS: readonly unknown[] = [413, 415];

/**
 * The form's files, in their order; fields `model` and `encoding_format` as in JSON.
 * @throws StatusError, an error of @fastify/multipart with its status, VG_QUEUE_FULL
 */
export async function readFormImages(
  request: FastifyRequest,
  limits: Required<ServerLimits>,
): Promise<RequestedImages> {
  try {
    return await readParts(request, limits);
  } catch (cause) {
    if (VitgraphError.is(cause) || FORM_STATUS.includes((cause as { statusCode?: unknown }).statusCode))
      throw cause;
    // The parser throws plain errors for a missing boundary, a missing end and a malformed header.
    throw new StatusError(
      400,
      "the form is not valid multipart/form-data",
      "send it with an HTTP client's form",
    );
  }
}

async function readParts(
  request: FastifyRequest,
  { maxItems, maxImageBytes, maxBodyBytes }: Required<ServerLimits>,
): Promise<RequestedImages> {
  const { memory } = requestState(request);
  const fields = new Map<string, string>();
  const images: Uint8Array[] = [];
  let total = 0;
  const parts = request.parts({
    limits: {
      files: maxItems,
      fileSize: maxImageBytes,
      fields: FIELDS.length,
      fieldSize: MAX_FIELD_BYTES,
      parts: maxItems + FIELDS.length,
    },
  });
  for await (const part of parts) {
    if (part.type === "field") {
      if (part.valueTruncated)
        throw new StatusError(413, `a field has more than ${MAX_FIELD_BYTES} bytes`, "send images as files");
      if (!FIELDS.includes(part.fieldname) || typeof part.value !== "string")
        throw new StatusError(400, "the form has an unknown field", `use ${FIELDS.join(" and ")}, and files`);
      fields.set(part.fieldname, part.value);
      continue;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of part.file as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > maxBodyBytes) throw bodyTooLarge(maxBodyBytes);
      memory.take(chunk.length);
      chunks.push(chunk);
    }
    if (part.file.truncated) throw tooLarge(maxImageBytes);
    images.push(Buffer.concat(chunks));
  }
  if (images.length === 0) throw new StatusError(400, "the form has no file", "send images as files");
  const encoding = fields.get("encoding_format") ?? "float";
  if (encoding !== "float" && encoding !== "base64")
    throw new StatusError(400, "encoding_format is unknown", "use float or base64");
  return { images, model: fields.get("model"), encoding };
}

const FIELDS: readonly string[] = ["model", "encoding_format"];
const MAX_FIELD_BYTES = 1000;

export function bodyTooLarge(maxBodyBytes: number): StatusError {
  return new StatusError(
    413,
    `the body has more than ${maxBodyBytes} bytes`,
    "send fewer or smaller images, or raise maxBodyBytes of the server",
  );
}
