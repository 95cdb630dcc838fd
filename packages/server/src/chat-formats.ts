/** Answers of the chat engine in OpenAI's forms: one object, or a stream of server-sent events. */
import type { ChatChunk, ChatGeneration, ChatResult, ServedChat } from "./chat-engine.js";
import { httpError } from "./http-errors.js";
import { type AnswerPiece, type ToolCall, ToolCallParser } from "./tool-calls.js";

export const EVENT_STREAM_TYPE = "text/event-stream";

export interface AnswerOptions {
  readonly id: string;
  readonly model: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly tokenBytes: ServedChat["tokenBytes"];
  /** Names of tools that the model may call. */
  readonly tools: readonly string[];
  readonly includeUsage: boolean;
  /** Called for an error that occurs after the status was sent. */
  readonly onError: (error: unknown) => void;
}

/** @throws the generation's error */
export async function completion(
  generation: ChatGeneration,
  { id, model, created, tokenBytes, tools }: AnswerOptions,
): Promise<object> {
  const logprobs: object[] = [];
  for await (const chunk of generation) {
    const entry = tokenLogprob(chunk, tokenBytes);
    if (entry !== undefined) logprobs.push(entry);
  }
  const result = await generation.result;
  const parser = new ToolCallParser(tools);
  const pieces = [...parser.push(result.text), ...parser.end()];
  const content = pieces.map((piece) => (piece.type === "text" ? piece.text : "")).join("");
  const calls = pieces.flatMap((piece) => (piece.type === "call" ? [toolCall(piece.call)] : []));
  const message = {
    role: "assistant",
    content: content === "" && calls.length > 0 ? null : content,
    refusal: null,
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
  const choice = {
    index: 0,
    message,
    logprobs: logprobs.length === 0 ? null : { content: logprobs },
    finish_reason: calls.length > 0 ? "tool_calls" : result.finishReason,
  };
  return { id, object: "chat.completion", created, model, choices: [choice], usage: usageOf(result) };
}

/** The text of an event stream. An error becomes an event; it never throws. */
export async function* completionEvents(
  generation: ChatGeneration,
  { id, model, created, tokenBytes, tools, includeUsage, onError }: AnswerOptions,
): AsyncGenerator<string> {
  const event = (choices: readonly object[], usage: object | null = null) =>
    sse({
      id,
      object: "chat.completion.chunk",
      created,
      model,
      choices,
      ...(includeUsage ? { usage } : {}),
    });
  const delta = (value: object, logprobs: object | null = null, finishReason: string | null = null) =>
    event([{ index: 0, delta: value, logprobs, finish_reason: finishReason }]);
  const parser = new ToolCallParser(tools);
  let calls = 0;
  const deltaOf = (piece: AnswerPiece) =>
    piece.type === "text"
      ? { content: piece.text }
      : { tool_calls: [{ index: calls++, ...toolCall(piece.call) }] };
  try {
    yield delta({ role: "assistant", content: "" });
    for await (const chunk of generation) {
      const entry = tokenLogprob(chunk, tokenBytes);
      const logprobs = entry === undefined ? null : { content: [entry] };
      const pieces = parser.push(chunk.text);
      // A token without text still has its log probability.
      if (pieces.length === 0 && logprobs !== null) yield delta({ content: "" }, logprobs);
      for (const [index, piece] of pieces.entries())
        yield delta(deltaOf(piece), index === 0 ? logprobs : null);
    }
    for (const piece of parser.end()) yield delta(deltaOf(piece));
    const result = await generation.result;
    yield delta({}, null, calls > 0 ? "tool_calls" : result.finishReason);
    if (includeUsage) yield event([], usageOf(result));
  } catch (error) {
    onError(error);
    yield sse(httpError(error).body);
  }
  yield "data: [DONE]\n\n";
}

function sse(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

function toolCall({ name, arguments: given }: ToolCall) {
  return { id: `call_${crypto.randomUUID()}`, type: "function", function: { name, arguments: given } };
}

function tokenLogprob(
  { token, logprob, topLogprobs = [] }: ChatChunk,
  tokenBytes: ServedChat["tokenBytes"],
): object | undefined {
  if (token === undefined || logprob === undefined) return undefined;
  const entry = (id: number, value: number) => {
    const bytes = tokenBytes(id);
    // JSON has no infinity; OpenAI's lower bound is -9999.
    return {
      token: Buffer.from(bytes).toString(),
      logprob: Math.max(value, -9999),
      bytes: [...bytes],
    };
  };
  return {
    ...entry(token, logprob),
    top_logprobs: topLogprobs.map((top) => entry(top.token, top.logprob)),
  };
}

function usageOf({ usage }: ChatResult): object {
  const { promptTokens, completionTokens, cachedTokens, imageTokens } = usage;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens, image_tokens: imageTokens },
  };
}
