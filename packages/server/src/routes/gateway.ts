/**
 * A gateway in front of an ordinary vLLM server. Images of POST /v1/chat/completions are encoded here and replaced by
 * their embeddings; all other bytes, and all other routes, pass through unchanged in both directions.
 *
 * If an image cannot be encoded, or vLLM rejects its embedding, vLLM gets the original request and encodes the image with
 * its own tower.
 */
import http from "node:http";
import https from "node:https";
import { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { type Embedding, embeddingColumns, encodeNpy, type Grid } from "@vitgraph/core";
import { isRecord, toVitgraphError, VitgraphError } from "@vitgraph/errors";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { contentParts } from "../content-parts.js";
import { type EcStorage, ecKeyOfUrl, isEcKey } from "../ec-storage.js";
import { checkGridModel } from "../grid-models.js";
import { StatusError } from "../http-errors.js";
import { keepEcStorage } from "../keep-ec-storage.js";
import { type MediaPolicy, readMedia } from "../media/read-media.js";
import { MemoryShare } from "../memory-budget.js";
import { parseJson, textBytes } from "../parse-json.js";
import { encodeOptions, requestState } from "../request-state.js";
import type { GatewayOptions, ResolvedServerOptions } from "../server-options.js";

/** vLLM has its own time limits; this one is for a vLLM that hangs. */
const ANSWER_MS = 3_600_000;
/**
 * vLLM closes a connection that is idle for 5 s (VLLM_HTTP_TIMEOUT_KEEP_ALIVE). A request that crosses its end would fail
 * with ECONNRESET, so this side closes it first, as vLLM's own proxy does.
 */
const IDLE_MS = 2500;
/** A GPU's bf16, the same widened to f32, and its copy in the file that is sent. */
const BYTES_PER_VALUE = 2 + 4 + 4;
/** vLLM's statuses if it does not accept `image_embeds` or cannot load an embedding. */
const RETRIED: readonly number[] = [400, 422, 500];

/** Headers of one connection (RFC 9110, 7.6.1), and `expect`: the body has already arrived. */
const HOP_BY_HOP: readonly string[] = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
  "expect",
];

interface ImagePart {
  readonly type: "image_url";
  readonly image_url: { readonly url: string };
  readonly uuid?: string;
}

interface Located {
  readonly start: number;
  readonly end: number;
  readonly part: ImagePart;
}

/** Text that is sent unchanged, or a file that is sent in base64. */
type Piece = string | Uint8Array;

export async function registerGateway(
  app: FastifyInstance,
  { engine, limits, logger }: ResolvedServerOptions,
  policy: MediaPolicy,
  { upstream, storage }: GatewayOptions,
): Promise<void> {
  const { modelType } = engine.model.vision;
  if (modelType !== undefined) checkGridModel(modelType);
  if (storage !== undefined) keepEcStorage(app, storage);
  const columns = embeddingColumns(engine.model.vision);
  const client = upstreamClient(upstream);
  app.addHook("onClose", async () => client.close());

  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer" }, async (_request: unknown, body: Buffer) => body);
    const options = { config: { answerMs: ANSWER_MS }, schema: { summary: "Chat, answered by vLLM" } };
    scope.post("/v1/chat/completions", options, async (request, reply) => {
      const original = request.body instanceof Buffer ? request.body : Buffer.alloc(0);
      // Given back when vLLM answers, which can take an hour.
      using memory = new MemoryShare(requestState(request).memory);
      const pieces = await replaceImages(original, request, memory);
      if (pieces !== undefined) {
        const answer = await client.send(request, bodyOf(pieces), lengthOf(pieces));
        if (!RETRIED.includes(answer.statusCode ?? 0)) return passOn(answer, reply);
        const text = await readText(answer);
        logger?.warn(
          { requestId: request.id, status: answer.statusCode, answer: text },
          "vLLM rejected the embeddings, and gets the images",
        );
      }
      return passOn(await client.send(request, Readable.from([original]), original.length), reply);
    });
  });

  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    // Bodies are not read here, but streamed.
    scope.addContentTypeParser("*", async (_request: unknown, body: Readable) => body);
    const options = { config: { answerMs: ANSWER_MS }, schema: { hide: true } };
    // Fastify expects no body for methods such as GET, but the request may have one.
    const pass = async (request: FastifyRequest, reply: FastifyReply) => {
      // vLLM would get it as an ordinary GET, and answer 404. Other upgrades are offers that a server may decline.
      if (/websocket/i.test(request.headers.upgrade ?? ""))
        throw new StatusError(
          501,
          "the gateway does not forward WebSockets",
          "connect to vLLM's own address",
        );
      return passOn(await client.send(request, request.raw), reply);
    };
    scope.all("/*", options, pass);
  });

  /** The body with its images replaced by embeddings; undefined if vLLM must encode them. */
  async function replaceImages(
    original: Buffer,
    request: FastifyRequest,
    memory: MemoryShare,
  ): Promise<readonly Piece[] | undefined> {
    if (!original.includes("image_url")) return undefined;
    try {
      // Besides the original: its text, whose pieces are sent, and its parsed value, which has the images' URLs.
      memory.take(2 * textBytes(original));
      const { json, images } = await readImages(original, requestState(request).turn);
      if (images.length === 0) return undefined;
      if (images.length > limits.maxItems)
        throw new StatusError(400, `${images.length} images`, "send fewer");
      const parts =
        storage === undefined
          ? await embedParts(images, request, memory)
          : await keyParts(images, request, memory, storage);
      const pieces: Piece[] = [];
      let at = 0;
      for (const [index, { start, end }] of images.entries()) {
        pieces.push(json.slice(at, start), ...(parts[index] as readonly Piece[]));
        at = end;
      }
      return [...pieces, json.slice(at)];
    } catch (error) {
      if (requestState(request).signal.aborted) throw error;
      const { code, message, cause } = toVitgraphError(error, "VG_INTERNAL", "encoding failed");
      logger?.warn(
        { requestId: request.id, code, reason: message, ...(code === "VG_INTERNAL" ? { err: cause } : {}) },
        "images are left to vLLM",
      );
      return undefined;
    }
  }

  /** vLLM finds the embedding by its key, and needs the grid for the placeholders. */
  async function keyParts(
    images: readonly Located[],
    request: FastifyRequest,
    memory: MemoryShare,
    shared: EcStorage,
  ): Promise<readonly (readonly Piece[])[]> {
    const keys = images.map(({ part: { uuid, image_url: image } }) =>
      uuid !== undefined && isEcKey(uuid) ? uuid : ecKeyOfUrl(image.url),
    );
    // An image that comes twice is encoded once.
    const distinct = new Map(images.map((image, index) => [keys[index] as string, image]));
    const grids = new Map<string, Grid>();
    await Promise.all(
      [...distinct.keys()].map(async (key) => {
        const entry = await shared.find(key);
        if (entry !== undefined) grids.set(key, entry.grid);
      }),
    );
    const missing = [...distinct].filter(([key]) => !grids.has(key));
    const embeddings = await encodeAll(
      missing.map(([, image]) => image),
      request,
      memory,
    );
    await Promise.all(
      missing.map(async ([key], index) => {
        const entry = await shared.store(key, embeddings[index] as Embedding);
        grids.set(key, entry.grid);
      }),
    );
    return keys.map((uuid) => {
      const { t, h, w } = grids.get(uuid) as Grid;
      return [JSON.stringify({ type: "image_embeds", image_embeds: { image_grid_thw: [t, h, w] }, uuid })];
    });
  }

  async function embedParts(
    images: readonly Located[],
    request: FastifyRequest,
    memory: MemoryShare,
  ): Promise<readonly (readonly Piece[])[]> {
    const embeddings = await encodeAll(images, request, memory);
    return embeddings.map((embedding, index) => {
      const { t, h, w } = embedding.grid;
      const { uuid } = (images[index] as Located).part;
      const end = `","image_grid_thw":[${t},${h},${w}]}${uuid === undefined ? "" : `,"uuid":${JSON.stringify(uuid)}`}}`;
      return ['{"type":"image_embeds","image_embeds":{"image_embeds":"', encodeNpy(embedding), end];
    });
  }

  async function encodeAll(
    images: readonly Located[],
    request: FastifyRequest,
    memory: MemoryShare,
  ): Promise<readonly Embedding[]> {
    if (images.length === 0) return [];
    const state = requestState(request);
    const items = await Promise.all(
      images.map(async ({ part }) => ({
        image: await readMedia(part.image_url.url, policy, { ...state, memory }),
      })),
    );
    const outcomes = await engine.encode(items, {
      ...encodeOptions(state, limits),
      onItemSpecs: (specs) => {
        for (const spec of specs)
          if (spec.status === "fulfilled") memory.take(spec.value.outputTokens * columns * BYTES_PER_VALUE);
      },
    });
    return outcomes.map((outcome) => {
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    });
  }
}

/** The text of a chat and its images; none if vLLM must encode all of them. */
async function readImages(
  original: Buffer,
  turn: () => Promise<void>,
): Promise<{ readonly json: string; readonly images: readonly Located[] }> {
  let body: unknown;
  try {
    body = await parseJson(original, turn);
  } catch {
    // vLLM reports the error.
    return { json: "", images: [] };
  }
  await turn();
  const json = original.toString("utf8");
  return { json, images: imagesOf(json, body) };
}

interface Chat {
  readonly messages?: unknown;
  readonly mm_processor_kwargs?: unknown;
  readonly media_io_kwargs?: unknown;
}

/**
 * The images of a chat; none if vLLM must encode all of them. vLLM does not accept images and embeddings in one request,
 * and the engine has no processor settings per request.
 * @param body the value of `json`
 */
function imagesOf(json: string, body: unknown): readonly Located[] {
  if (!isRecord(body)) return [];
  const { messages, mm_processor_kwargs, media_io_kwargs } = body as Chat;
  if (hasMembers(mm_processor_kwargs) || hasMembers(media_io_kwargs) || !Array.isArray(messages)) return [];
  const parts = messages.flatMap((message: { readonly content?: unknown } | null): readonly unknown[] =>
    Array.isArray(message?.content) ? message.content : [],
  );
  const images: Located[] = [];
  for (const [index, { start, end }] of contentParts(json).entries()) {
    const part = parts[index];
    const { type } = (part ?? {}) as { readonly type?: unknown };
    if (type === "image_embeds") return [];
    if (type !== "image_url") continue;
    if (!isImagePart(part)) return [];
    images.push({ start, end, part });
  }
  return images;
}

function hasMembers(value: unknown): boolean {
  return isRecord(value) && Object.keys(value).length > 0;
}

function isImagePart(part: unknown): part is ImagePart {
  const { image_url: image, uuid } = part as Partial<ImagePart>;
  return typeof image?.url === "string" && (uuid === undefined || typeof uuid === "string");
}

function lengthOf(pieces: readonly Piece[]): number {
  return pieces.reduce(
    (sum, piece) =>
      sum + (typeof piece === "string" ? Buffer.byteLength(piece) : 4 * Math.ceil(piece.length / 3)),
    0,
  );
}

/** Bytes that one turn of the event loop writes in base64: a multiple of three. */
const BYTES_A_TURN = 3 << 18;

function bodyOf(pieces: readonly Piece[]): Readable {
  const chunks = async function* () {
    for (const piece of pieces) {
      if (typeof piece === "string") {
        yield piece;
        continue;
      }
      for (let at = 0; at < piece.length; at += BYTES_A_TURN) {
        yield Buffer.from(piece.subarray(at, at + BYTES_A_TURN)).toString("base64");
        await setImmediate();
      }
    }
  };
  return Readable.from(chunks(), { objectMode: false });
}

interface UpstreamClient {
  /**
   * The upstream's answer, when its headers have come. A client that disconnects cancels the call.
   * @param length of the body; undefined: as the request says. Without its length or its chunks a body would be vLLM's next
   *   request
   * @throws StatusError 502
   */
  send(request: FastifyRequest, body: Readable, length?: number): Promise<http.IncomingMessage>;
  close(): void;
}

function upstreamClient(upstream: string): UpstreamClient {
  const base = new URL(upstream);
  const { request: open, Agent } = base.protocol === "https:" ? https : http;
  const agent = new Agent({ keepAlive: true, timeout: IDLE_MS });
  const prefix = base.pathname.replace(/\/$/, "");
  const send: UpstreamClient["send"] = (request, body, length) =>
    new Promise((resolve, reject) => {
      const { signal } = requestState(request);
      const fail = (cause: NodeJS.ErrnoException) => {
        const fact = `vLLM at ${base.host} cannot be reached (${cause.code ?? cause.message})`;
        reject(
          signal.aborted
            ? new VitgraphError("VG_ABORTED", "the client disconnected")
            : new StatusError(502, fact, "try again later"),
        );
      };
      const isChunked = length === undefined && request.headers["transfer-encoding"] !== undefined;
      const call = open(base, {
        agent,
        method: request.method,
        path: prefix + request.url,
        headers: {
          ...endToEnd(request.headers),
          "x-request-id": request.id,
          ...(length === undefined ? {} : { "content-length": String(length) }),
          ...(isChunked ? { "transfer-encoding": "chunked" } : {}),
        },
        signal,
      });
      // A second error, after the answer began, would otherwise end the process.
      call.on("error", fail);
      call.once("response", resolve);
      // An answer that switches protocols (101) is neither a response nor an error here.
      call.once("close", () => fail(new Error("the connection ended without an answer")));
      body.once("error", (error) => call.destroy(error)).pipe(call);
    });
  return { send, close: () => agent.destroy() };
}

function endToEnd(headers: http.IncomingHttpHeaders): http.OutgoingHttpHeaders {
  // Headers that `connection` names are hop-by-hop too, but not the body's length: vLLM would read the body as a request.
  const named = (headers.connection ?? "")
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "content-length");
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !HOP_BY_HOP.includes(name) && !named.includes(name)),
  );
}

function passOn(answer: http.IncomingMessage, reply: FastifyReply): FastifyReply {
  return reply
    .code(answer.statusCode ?? 502)
    .headers(endToEnd(answer.headers) as Record<string, string>)
    .send(answer);
}

const MAX_LOGGED = 500;

/** The beginning of an answer that is not forwarded. */
async function readText(answer: http.IncomingMessage): Promise<string> {
  let text = "";
  try {
    for await (const chunk of answer) {
      text += chunk;
      if (text.length > MAX_LOGGED) break;
    }
  } catch {
    // The answer broke off. Only its status is needed.
  }
  return text.slice(0, MAX_LOGGED);
}
