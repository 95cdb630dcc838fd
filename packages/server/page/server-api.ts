/** The routes that the page calls. The API key stays in this tab: memory and sessionStorage, never a URL. */
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { LiveMessage, PageState } from "../src/page/page-state.js";

export type { LiveMessage, PageState };

/** An error answer of the server; status 0 if the server could not be reached. */
export class ServerError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface EncodedImage {
  /** Patches: frames, rows, columns. */
  readonly grid: readonly [t: number, h: number, w: number];
  readonly tokens: number;
  readonly columns: number;
  /** From the request to its answer's first byte. */
  readonly wallMs: number;
}

export interface ChatQuestion {
  readonly image: Blob;
  readonly text: string;
}

const STORED_KEY = "vitgraph-api-key";

export class ServerApi {
  readonly #askKey: (isWrong: boolean) => Promise<string>;
  #key = sessionStorage.getItem(STORED_KEY) ?? undefined;
  #asking: Promise<void> | undefined;

  /** @param askKey asks the user for the server's key; `isWrong`: the last one was refused */
  constructor(askKey: (isWrong: boolean) => Promise<string>) {
    this.#askKey = askKey;
  }

  async state(): Promise<PageState> {
    return (await (await this.#fetch("/page/state")).json()) as PageState;
  }

  /** Until the stream ends: the server ends it after a minute. @throws ServerError */
  async *liveMessages(): AsyncGenerator<LiveMessage> {
    for await (const data of eventData(await this.#fetch("/page/events")))
      yield JSON.parse(data) as LiveMessage;
  }

  /** The embedding itself is not read: its headers have its shape. @throws ServerError */
  async encode(image: Blob, signal: AbortSignal): Promise<EncodedImage> {
    const form = new FormData();
    form.set("image", image);
    const init = { method: "POST", body: form, headers: { accept: "application/x-npy" }, signal };
    const startedAt = performance.now();
    const response = await this.#fetch("/v1/embeddings", init);
    const wallMs = performance.now() - startedAt;
    const grid = response.headers.get("x-vitgraph-grid-thw")?.split(",").map(Number) ?? [];
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const { value = new Uint8Array() } = await reader.read();
    await reader.cancel();
    const header = new TextDecoder("latin1").decode(value.subarray(0, 128));
    const [, tokens, columns] = /'shape': \((\d+), (\d+)\)/.exec(header) ?? [];
    return {
      grid: grid as unknown as EncodedImage["grid"],
      tokens: Number(tokens),
      columns: Number(columns),
      wallMs,
    };
  }

  /** The answer piece by piece. @throws ServerError */
  async *ask({ image, text }: ChatQuestion, signal: AbortSignal): AsyncGenerator<string> {
    const content = [
      { type: "image_url", image_url: { url: await dataUrl(image) } },
      { type: "text", text },
    ];
    // Without a model the server takes its chat model.
    const body = JSON.stringify({ stream: true, messages: [{ role: "user", content }] });
    const headers = { "content-type": "application/json", accept: "text/event-stream" };
    const response = await this.#fetch("/v1/chat/completions", { method: "POST", body, headers, signal });
    for await (const data of eventData(response)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data) as ChatChunk;
      if (chunk.error !== undefined) throw new ServerError(500, chunk.error.message);
      const piece = chunk.choices?.[0]?.delta?.content;
      if (piece) yield piece;
    }
  }

  /** Sends a request with the key, and asks the user for one if the server needs it. */
  async #fetch(path: string, init: RequestInit = {}): Promise<Response> {
    for (;;) {
      const key = this.#key;
      const headers = new Headers(init.headers);
      if (key !== undefined) headers.set("authorization", `Bearer ${key}`);
      const response = await fetch(path, { ...init, headers }).catch((cause: unknown) => {
        if (init.signal?.aborted) throw cause;
        throw new ServerError(0, "the server does not answer");
      });
      if (response.ok) return response;
      if (response.status !== 401) throw new ServerError(response.status, await errorMessage(response));
      // All waiting requests share one question. A request that was sent before the answer is sent again with the new key.
      if (key === this.#key) this.#asking ??= this.#requestKey(key !== undefined);
      await this.#asking;
    }
  }

  async #requestKey(isWrong: boolean): Promise<void> {
    this.#key = await this.#askKey(isWrong);
    sessionStorage.setItem(STORED_KEY, this.#key);
    this.#asking = undefined;
  }
}

interface ChatChunk {
  readonly error?: { readonly message: string };
  readonly choices?: readonly { readonly delta?: { readonly content?: string | null } }[];
}

async function* eventData(response: Response): AsyncGenerator<string> {
  const events = (response.body as ReadableStream<Uint8Array<ArrayBuffer>>)
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())
    .getReader();
  try {
    for (;;) {
      const { done, value } = await events.read();
      if (done) return;
      yield value.data;
    }
  } finally {
    await events.cancel().catch(() => {});
  }
}

async function errorMessage(response: Response): Promise<string> {
  try {
    const { error } = (await response.json()) as { readonly error: { readonly message: string } };
    return error.message;
  } catch {
    return `the server answered with status ${response.status}`;
  }
}

function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
