/** The interface of a chat engine for the server: types only. `LlamaEngine` of @vitgraph/llama-cpp implements it. */

export interface ServedChat {
  /** The model's name in the API, unless the server's options have another. */
  readonly name: string;
  /** Tokens of a prompt and its answer. */
  readonly contextSize: number;
  /** Starts an answer. The generation throws its errors. */
  chat(options: ChatRequest): ChatGeneration;
  /** Requests by state: encoding their images, waiting for a slot, and decoding. */
  stats(): { readonly preparing: number; readonly waiting: number; readonly running: number };
  /** A token's text in UTF-8. Characters may be split over several tokens. */
  tokenBytes(token: number): Uint8Array;
}

/** A part of a message: text, or the bytes of an image or video file. */
export type ChatPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image"; readonly image: Uint8Array }
  | { readonly type: "video"; readonly video: Uint8Array };

/** A message of a chat, with the files of its images and videos. */
export interface ChatMessage {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string | null | readonly ChatPart[];
  /** Fields of the model's template: `name`, `tool_calls`, … */
  readonly [field: string]: unknown;
}

/** A chat to be continued, with its sampling parameters. */
export interface ChatRequest {
  readonly messages: readonly ChatMessage[];
  /** In OpenAI's format. */
  readonly tools?: readonly unknown[];
  readonly templateVariables?: Readonly<Record<string, unknown>>;
  /** 0 takes the likeliest token. */
  readonly temperature?: number;
  readonly topP?: number;
  /** 0: all. */
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  /** From 0 to 2³² - 1. */
  readonly seed?: number;
  readonly stop?: string | readonly string[];
  /** Default: as many as the context has room for. */
  readonly maxTokens?: number;
  /** Log probabilities of this many of the likeliest tokens, besides the drawn one's. Default: none. */
  readonly logprobs?: number;
  /** Cancels the request. If its reason is a VitgraphError, the generation throws that. */
  readonly signal: AbortSignal;
  /** The caller that the request counts for. */
  readonly caller: string;
}

export interface TokenLogprob {
  readonly token: number;
  readonly logprob: number;
}

/** A piece of an answer, as it is streamed. */
export interface ChatChunk {
  readonly text: string;
  /** Absent for the rest of the text after the last token. */
  readonly token?: number;
  readonly logprob?: number;
  readonly topLogprobs?: readonly TokenLogprob[];
}

/** A finished answer. */
export interface ChatResult {
  readonly text: string;
  readonly finishReason: "stop" | "length";
  readonly usage: {
    readonly promptTokens: number;
    readonly imageTokens: number;
    readonly cachedTokens: number;
    readonly completionTokens: number;
  };
  readonly timings: { readonly firstTokenMs: number };
}

/**
 * Chunks are buffered until they are read. The error of an image or video has its index in the request as `details.media`.
 */
export interface ChatGeneration extends AsyncIterable<ChatChunk> {
  /** A rejection counts as handled, since the iterator throws the same. */
  readonly result: Promise<ChatResult>;
}
