/**
 * vLLM's disaggregation proxy, scripted from its protocol: images of a chat are dealt over encode instances, and the
 * decoder gets metadata in their place. Requests and answers that were recorded with the real one (epd-recorded.json)
 * hold it to the original.
 */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import Fastify, { type FastifyInstance } from "fastify";

const MEDIA_TYPES: readonly unknown[] = ["image_url", "audio_url", "input_audio", "video_url"];

export interface Part {
  readonly type: string;
  readonly uuid?: string;
  readonly image_url?: { readonly url: string };
  readonly [name: string]: unknown;
}

export interface Chat {
  readonly model?: string | null;
  readonly messages: readonly { readonly role: string; readonly content: string | readonly Part[] }[];
  readonly [name: string]: unknown;
}

/** An encode instance's report of a key. */
export interface Reported {
  readonly metadata?: Readonly<Record<string, readonly (number | readonly number[])[]>>;
  readonly item_indices?: readonly number[];
}

interface Located {
  readonly part: Part;
  readonly key: string;
}

/** An answer for the client that is no decoder's. */
class ProxyError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export interface EpdProxy extends AsyncDisposable {
  readonly url: string;
  /** By URL, with the role. */
  readonly instances: ReadonlyMap<string, string>;
  /** Requests that went to encode instances, and their answers. */
  readonly encoded: readonly { readonly url: string; readonly request: Chat; readonly answer: unknown }[];
  /** Forgets its instances, as a proxy that was started anew. */
  restart(): void;
}

export interface EpdProxyOptions {
  readonly decoder: string;
  /** Static mode. Default: instances register themselves. */
  readonly encoders?: readonly string[];
  readonly adminKey?: string;
}

export async function startEpdProxy({ decoder, encoders, adminKey }: EpdProxyOptions): Promise<EpdProxy> {
  const app = Fastify({ bodyLimit: 100 << 20 });
  const instances = new Map<string, string>((encoders ?? []).map((url) => [url, "encode"]));
  const encoded: { url: string; request: Chat; answer: unknown }[] = [];
  let next = 0;

  app.addHook("preHandler", async (request) => {
    const isAdmin = request.url.startsWith("/instances") && request.method !== "GET";
    if (isAdmin && request.headers["x-api-key"] !== adminKey)
      throw new ProxyError(403, "Invalid admin API key");
  });
  app.setErrorHandler((error: unknown, _request, reply) => {
    const status = error instanceof ProxyError ? error.status : 500;
    return reply.code(status).send({ detail: (error as Error).message });
  });
  app.post("/instances", async (request) => {
    const { role, url } = request.body as { role: string; url: string };
    const known = instances.get(url);
    if (known !== undefined && known !== role) throw new ProxyError(409, "another role");
    instances.set(url, role);
    return { registered: known === undefined };
  });
  app.delete("/instances", async (request) => ({
    removed: instances.delete((request.query as { url: string }).url),
  }));

  app.post("/v1/chat/completions", async (request, reply) => {
    const chat = request.body as Chat;
    for (let attempt = 0; ; attempt++) {
      const reported = await encode(chat);
      const body = { ...rewrite(chat, reported), ...transferParams(reported) };
      const answer = await postJson(`${decoder}/v1/chat/completions`, body);
      // An embedding that the decoder could not load: all of it once more.
      if (answer.status === 500 && attempt === 0) continue;
      return reply
        .code(answer.status)
        .type("application/json")
        .send(await answer.text());
    }
  });

  /** By the place among the chat's media: the key and what was reported of it. */
  async function encode(chat: Chat): Promise<ReadonlyMap<number, { key: string; entry: Reported }>> {
    const media = mediaOf(chat);
    const urls = [...instances].flatMap(([url, role]) => (role === "encode" ? url : []));
    if (media.length > 0 && urls.length === 0) throw new ProxyError(503, "No encode instance is registered");
    const groups: { url: string; indices: number[] }[] = [];
    for (const [index, { part }] of media.entries()) {
      const url = urls[(next + index) % urls.length] as string;
      const group = groups.find(
        (other) => other.url === url && media[other.indices[0] as number]?.part.type === "image_url",
      );
      if (part.type === "image_url" && group !== undefined) group.indices.push(index);
      else groups.push({ url, indices: [index] });
    }
    if (urls.length > 0) next = (next + media.length) % urls.length;
    const answers = await Promise.all(
      groups.map(async ({ url, indices }) => {
        const items = indices.map((index) => media[index] as Located);
        const body = encodeRequest(chat, items);
        const id = `${randomUUID()}:${indices[0]}:${randomBytes(3).toString("hex")}`;
        const target = `${url}/v1/chat/completions`;
        const response = await postJson(target, body, { "x-request-id": id }).catch(() => undefined);
        if (response === undefined) throw new ProxyError(502, "Encoder request failed");
        const text = await response.text();
        if (response.status !== 200) throw new ProxyError(response.status, `Encoder request failed: ${text}`);
        const answer = JSON.parse(text) as { ec_transfer_params?: Readonly<Record<string, Reported>> };
        encoded.push({ url, request: body, answer });
        return { indices, matched: matchItems(items, answer.ec_transfer_params ?? {}) };
      }),
    );
    // In the groups' order: of two answers with one key, the later is passed on.
    const reported = new Map<number, { key: string; entry: Reported }>();
    for (const { indices, matched } of answers)
      for (const [local, found] of matched) reported.set(indices[local] as number, found);
    return reported;
  }

  await app.listen({ host: "127.0.0.1", port: 0 });
  return {
    url: urlOf(app),
    instances,
    encoded,
    restart: () => instances.clear(),
    async [Symbol.asyncDispose]() {
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

function mediaOf({ messages }: Chat): readonly Located[] {
  return messages.flatMap(({ content }) =>
    typeof content === "string"
      ? []
      : content
          .filter(({ type }) => MEDIA_TYPES.includes(type))
          .map((part) => ({ part, key: part.uuid ?? contentKey(part) })),
  );
}

function contentKey(part: Part): string {
  const url = part.image_url?.url ?? (part.video_url as Part["image_url"])?.url;
  // Python's json.dumps puts a space behind colons and commas; parts without a URL are audio.
  return createHash("sha256")
    .update(url ?? JSON.stringify(part))
    .digest("hex");
}

const PASSED_ON = ["mm_processor_kwargs", "media_io_kwargs", "priority", "session_id"];

function encodeRequest(chat: Chat, items: readonly Located[]): Chat {
  return {
    model: chat.model ?? null,
    messages: [{ role: "user", content: items.map(({ part, key }) => ({ ...part, uuid: key })) }],
    stream: false,
    ...Object.fromEntries(PASSED_ON.flatMap((name) => (name in chat ? [[name, chat[name]]] : []))),
  };
}

/** By `item_indices` where a request has several items, else by the uuid, else the only entry. */
function matchItems(
  items: readonly Located[],
  params: Readonly<Record<string, Reported>>,
): ReadonlyMap<number, { key: string; entry: Reported }> {
  const matched = new Map<number, { key: string; entry: Reported }>();
  const entries = Object.entries(params);
  if (entries.length === 0) return matched;
  if (items.length > 1) {
    for (const [key, entry] of entries) {
      for (const index of entry.item_indices ?? []) {
        if (!Number.isInteger(index) || index < 0 || index >= items.length)
          throw new ProxyError(502, "Invalid encoder item index");
        if (matched.has(index)) throw new ProxyError(502, "Duplicate encoder item index");
        matched.set(index, { key, entry });
      }
    }
  }
  for (const [index, { key }] of items.entries()) {
    if (matched.has(index)) continue;
    const entry = params[key] ?? (items.length === 1 && entries.length === 1 ? entries[0]?.[1] : undefined);
    if (entry === undefined) throw new ProxyError(502, "Encoder metadata cannot be matched");
    matched.set(index, { key, entry });
  }
  return matched;
}

function rewrite(
  chat: Chat,
  reported: ReadonlyMap<number, { readonly key: string; readonly entry: Reported }>,
): Chat {
  let index = -1;
  const messages = chat.messages.map((message) => {
    if (typeof message.content === "string") return message;
    const content = message.content.map((part): Part => {
      if (!MEDIA_TYPES.includes(part.type)) return part;
      const found = reported.get(++index);
      const metadata = Object.entries(found?.entry.metadata ?? {}).map(([name, value]) => [
        name,
        value.flat(),
      ]);
      if (found === undefined || metadata.length === 0) return part;
      const type = part.type === "video_url" ? "video_embeds" : "image_embeds";
      return { type, [type]: Object.fromEntries(metadata), uuid: found.key };
    });
    return { ...message, content };
  });
  return { ...chat, messages };
}

function transferParams(reported: ReadonlyMap<number, { readonly key: string; readonly entry: Reported }>) {
  const entries = [...reported.values()].map(({ key, entry }) => [key, entry]);
  return entries.length === 0 ? {} : { ec_transfer_params: Object.fromEntries(entries) };
}

export interface Decoder extends AsyncDisposable {
  readonly url: string;
  readonly requests: readonly Chat[];
  /** Statuses of the next answers, before those that are 200. */
  readonly failures: number[];
}

/** Records what it gets. */
export async function startDecoder(): Promise<Decoder> {
  const app = Fastify({ bodyLimit: 100 << 20 });
  const requests: Chat[] = [];
  const failures: number[] = [];
  app.post("/v1/chat/completions", async (request, reply) => {
    requests.push(request.body as Chat);
    return reply.code(failures.shift() ?? 200).send({ object: "chat.completion", choices: [] });
  });
  app.get("/health", async () => ({}));
  await app.listen({ host: "127.0.0.1", port: 0 });
  return {
    url: urlOf(app),
    requests,
    failures,
    async [Symbol.asyncDispose]() {
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

function urlOf(app: FastifyInstance): string {
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
}

export function postJson(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

/** Messages recorded in front of and behind vLLM's own proxy, with two encode instances. */
export interface Recorded {
  readonly client: Chat;
  readonly encoders: readonly {
    /** Index of the instance. */
    readonly encoder: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly request: Chat;
    readonly status: number;
    readonly answer: { readonly ec_transfer_params?: Readonly<Record<string, Reported>> };
  }[];
  /** Null if the request did not reach the decoder. */
  readonly decoder: Chat | null;
}

export async function recordedExchanges(): Promise<Readonly<Record<string, Recorded>>> {
  return JSON.parse(await readFile(new URL("epd-recorded.json", import.meta.url), "utf8"));
}
