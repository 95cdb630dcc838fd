/**
 * POST /v1/chat/completions as vLLM's disaggregation proxy calls an encode instance: the images of a chat in, no text out.
 * Each embedding is written to the shared storage under the image's uuid, and the answer has the image's grid. The decoder
 * makes its placeholders from the grid and reads the rows from the storage; it never gets the image.
 *
 * A request that this engine cannot answer as vLLM would (videos, audio, processor settings) is answered without
 * `ec_transfer_params`. The proxy then sends the media to the decoder, which encodes it with its own tower.
 */
import { randomUUID } from "node:crypto";
import { type EncodeOptions, embeddingColumns } from "@vitgraph/core";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { checkEcKey, type EcEntry, type EcStorage, ecKeyOfUrl } from "../ec-storage.js";
import { checkModel, itemError, ParamError, StatusError } from "../http-errors.js";
import { keepEcStorage } from "../keep-ec-storage.js";
import { type MediaPolicy, readMedia } from "../media/read-media.js";
import { encodeOptions, requestState } from "../request-state.js";
import type { ResolvedServerOptions } from "../server-options.js";
import { ENCODE_ANSWERS, ENCODE_BODY } from "./schemas.js";

interface EncodeBody {
  readonly model?: string | null;
  readonly messages: readonly { readonly content?: string | readonly Part[] | null }[];
  readonly mm_processor_kwargs?: object | null;
  readonly media_io_kwargs?: object | null;
  readonly ec_transfer_params?: { readonly consumer_zmq?: unknown } | null;
}

interface Part {
  readonly type: string;
  readonly image_url?: string | { readonly url: string } | null;
  readonly uuid?: string | null;
}

interface RequestedImage {
  /** The member of the request, for errors. */
  readonly param: string;
  readonly key: string;
  /** Undefined if the request has only the uuid of an image in the storage. */
  readonly url: string | undefined;
}

/** An item as vLLM's connector reports it. */
interface TransferParams {
  readonly metadata: { readonly image_grid_thw: readonly (readonly number[])[] };
  /** Indices among the images of the request. */
  readonly item_indices: readonly number[];
}

/** f32 from the CPU, and bf16 in the file. */
const BYTES_PER_VALUE = 4 + 2;

export function registerVllmEncode(
  app: FastifyInstance,
  { engine, limits, modelName, logger }: ResolvedServerOptions,
  policy: MediaPolicy,
  storage: EcStorage,
): void {
  const columns = embeddingColumns(engine.model.vision);
  const schema = {
    summary: "Images of a chat to vLLM's shared storage",
    body: ENCODE_BODY,
    response: ENCODE_ANSWERS,
  };

  keepEcStorage(app, storage);

  app.post("/v1/chat/completions", { schema }, async (request) => {
    const body = request.body as EncodeBody;
    // Null where the client left it out.
    checkModel(body.model ?? undefined, modelName);
    if (typeof body.ec_transfer_params?.consumer_zmq === "string") {
      const error = new StatusError(
        400,
        "the request names a Mooncake consumer, and this instance writes to shared storage",
        "start the consumer with ECExampleConnector, and the proxy without --ec-consumer-zmq-addrs",
      );
      throw new ParamError("ec_transfer_params", error);
    }
    const reason = reasonForDecoder(body);
    if (reason !== undefined) {
      logger?.info({ requestId: request.id, reason }, "media are left to the decoder");
      return completion(0);
    }
    const images = requestedImages(body);
    if (images.length === 0 || images.length > limits.maxItems)
      throw new StatusError(
        400,
        `the messages have ${images.length} images`,
        `send 1 to ${limits.maxItems}, as image_url parts`,
      );
    const entries = await encodeMissing(images, request);
    const params: Record<string, TransferParams> = Object.create(null);
    for (const [index, { key }] of images.entries()) {
      const { t, h, w } = (entries.get(key) as EcEntry).grid;
      params[key] = {
        metadata: { image_grid_thw: [[t, h, w]] },
        item_indices: [...(params[key]?.item_indices ?? []), index],
      };
    }
    const tokens = images.reduce((sum, { key }) => sum + (entries.get(key) as EcEntry).tokens, 0);
    return { ...completion(tokens), ec_transfer_params: params };
  });

  /** The entry of each key, once it is in the storage. */
  async function encodeMissing(
    images: readonly RequestedImage[],
    request: FastifyRequest,
  ): Promise<ReadonlyMap<string, EcEntry>> {
    const state = requestState(request);
    const entries = new Map<string, EcEntry>();
    // An image that comes twice is encoded once.
    const distinct = [...new Map(images.map((image) => [image.key, image])).values()];
    const missing: RequestedImage[] = [];
    for (const image of distinct) {
      const entry = await storage.find(image.key);
      if (entry === undefined) missing.push(image);
      else entries.set(image.key, entry);
    }
    if (missing.length === 0) return entries;
    const items = await Promise.all(
      missing.map(async ({ url, param }) => {
        try {
          if (url === undefined)
            throw new StatusError(400, "the image of the uuid is not in the storage", "send its image_url");
          return { image: await readMedia(url, policy, state) };
        } catch (error) {
          throw new ParamError(param, error);
        }
      }),
    );
    const paramOf = (index: number) => (missing[index] as RequestedImage).param;
    const options: EncodeOptions = {
      ...encodeOptions(state, limits),
      onItemSpecs: (specs) => {
        for (const [index, spec] of specs.entries()) {
          if (spec.status === "rejected") throw itemError(paramOf(index), spec.reason);
          state.memory.take(spec.value.outputTokens * columns * BYTES_PER_VALUE);
        }
      },
    };
    const writes: Promise<void>[] = [];
    for await (const { index, outcome } of engine.encodeEach(items, options)) {
      if (outcome.status === "rejected") {
        await Promise.allSettled(writes);
        throw itemError(paramOf(index), outcome.reason);
      }
      const { key } = missing[index] as RequestedImage;
      // While the other images are encoded.
      const write = storage.store(key, outcome.value).then((entry) => void entries.set(key, entry));
      write.catch(() => {});
      writes.push(write);
    }
    await Promise.all(writes);
    return entries;
  }

  /** OpenAI's object, for clients that expect one. */
  function completion(tokens: number) {
    return {
      id: `chatcmpl-${randomUUID()}`,
      object: "chat.completion",
      created: Math.floor(Date.now() / 1000),
      model: modelName,
      choices: [{ index: 0, message: { role: "assistant", content: "" }, finish_reason: "stop" }],
      usage: { prompt_tokens: tokens, completion_tokens: 0, total_tokens: tokens },
    };
  }
}

function partsOf(body: EncodeBody): readonly { readonly part: Part; readonly param: string }[] {
  return body.messages.flatMap(({ content }, message) =>
    Array.isArray(content)
      ? (content as readonly Part[]).map((part, index) => ({
          part,
          param: `messages[${message}].content[${index}]`,
        }))
      : [],
  );
}

/** Why the decoder must encode the request's media; undefined if it need not. */
function reasonForDecoder(body: EncodeBody): string | undefined {
  const isKnown = ({ part: { type } }: { readonly part: Part }) => type === "text" || type === "image_url";
  if (!partsOf(body).every(isKnown)) return "a part is neither text nor an image";
  // vLLM's key depends on them as well, and the proxy's uuid does not.
  for (const name of ["mm_processor_kwargs", "media_io_kwargs"] as const)
    if (Object.keys(body[name] ?? {}).length > 0) return `the request has ${name}`;
  return undefined;
}

/** @throws ParamError */
function requestedImages(body: EncodeBody): readonly RequestedImage[] {
  return partsOf(body).flatMap(({ part, param }) => {
    if (part.type !== "image_url") return [];
    const url = typeof part.image_url === "string" ? part.image_url : part.image_url?.url;
    const key = part.uuid ?? (url === undefined ? undefined : ecKeyOfUrl(url));
    if (key === undefined)
      throw new ParamError(
        param,
        new StatusError(400, "the image has neither image_url nor uuid", "send one"),
      );
    try {
      checkEcKey(key);
    } catch (error) {
      throw new ParamError(`${param}.uuid`, error);
    }
    return [{ param, key, url }];
  });
}
