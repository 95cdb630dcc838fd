/** A chat engine that gives out what a test tells it to. */
import type { ChatChunk, ChatRequest, ChatResult, ServedChat } from "../src/index.js";

export interface Script {
  readonly chunks?: readonly ChatChunk[];
  readonly finishReason?: ChatResult["finishReason"];
  /** Thrown after the chunks. */
  readonly error?: unknown;
  /** Awaited before the chunk with this index, and at the end: by default nothing is. */
  readonly before?: (index: number) => Promise<void> | void;
}

export interface ScriptedChat extends ServedChat {
  readonly requests: ChatRequest[];
}

export const USAGE = { promptTokens: 20, imageTokens: 8, cachedTokens: 5, completionTokens: 2 };

const timings = { firstTokenMs: 30 };

/** A chat engine that answers with a script. A token's id is its number of characters. */
export function scriptedChat({
  chunks = [],
  finishReason = "stop",
  error,
  before = () => {},
}: Script): ScriptedChat {
  const requests: ChatRequest[] = [];
  return {
    name: "scripted",
    contextSize: 100,
    requests,
    stats: () => ({ preparing: 0, waiting: 1, running: 2 }),
    tokenBytes: (token) => Buffer.from(String.fromCodePoint(token)),
    chat(request) {
      requests.push(request);
      const { signal } = request;
      const aborted = new Promise<never>((_, reject) => {
        const abort = () => reject(signal.reason);
        if (signal.aborted) abort();
        signal.addEventListener("abort", abort, { once: true });
      });
      aborted.catch(() => {});
      let settle: (result: ChatResult) => void = () => {};
      const result = new Promise<ChatResult>((resolve) => {
        settle = resolve;
      });
      const ended = Promise.race([result, aborted]);
      ended.catch(() => {});
      return {
        result: ended,
        async *[Symbol.asyncIterator]() {
          for (const [index, chunk] of chunks.entries()) {
            await Promise.race([before(index), aborted]);
            yield chunk;
          }
          await Promise.race([before(chunks.length), aborted]);
          if (error !== undefined) throw error;
          settle({ text: chunks.map(({ text }) => text).join(""), finishReason, usage: USAGE, timings });
        },
      };
    },
  };
}
