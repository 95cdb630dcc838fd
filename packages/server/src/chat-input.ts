/** Converts a chat request from OpenAI's format to the chat engine's: reads images and videos, renames options. */
import { isRecord } from "@vitgraph/errors";
import type { ChatMessage, ChatPart, ChatRequest } from "./chat-engine.js";
import { ParamError, StatusError } from "./http-errors.js";
import { type MediaPolicy, readMedia } from "./media/read-media.js";
import type { RequestState } from "./request-state.js";

type Media = string | { readonly url: string };

interface BodyPart {
  readonly type: "text" | "image_url" | "image" | "video_url" | "video";
  readonly text?: string;
  readonly image_url?: Media;
  readonly image?: Media;
  readonly video_url?: Media;
  readonly video?: Media;
}

interface BodyMessage {
  readonly role: "developer" | ChatMessage["role"];
  readonly content?: string | readonly BodyPart[];
  readonly refusal?: unknown;
  readonly annotations?: unknown;
  readonly [field: string]: unknown;
}

/** A body that the route's schema accepts, without nulls: see `dropNulls`. */
export interface ChatBody {
  readonly model?: string;
  readonly messages: readonly BodyMessage[];
  readonly tools?: readonly { readonly function: { readonly name: string } }[];
  readonly tool_choice?: unknown;
  readonly temperature?: number;
  readonly top_p?: number;
  readonly top_k?: number;
  readonly min_p?: number;
  readonly frequency_penalty?: number;
  readonly presence_penalty?: number;
  readonly repetition_penalty?: number;
  readonly seed?: number;
  readonly stop?: string | readonly string[];
  readonly max_tokens?: number;
  readonly max_completion_tokens?: number;
  readonly logprobs?: boolean;
  readonly top_logprobs?: number;
  readonly n?: number;
  readonly stream?: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
  readonly response_format?: { readonly type?: unknown };
  readonly modalities?: readonly unknown[];
  readonly chat_template_kwargs?: Readonly<Record<string, unknown>>;
}

/** Members of OpenAI's API that would change the answer and are not supported, with a remedy for each. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  audio: "ask for text",
  function_call: "use tool_choice",
  functions: "use tools",
  logit_bias: "remove it",
  web_search_options: "remove it",
};

/** Runs before the schema, which would call them unknown. @throws ParamError */
export function refuseUnsupported(body: unknown): void {
  if (!isRecord(body)) return;
  for (const [name, remedy] of Object.entries(UNSUPPORTED))
    if (Object.hasOwn(body, name)) throw unsupported(name, `${name} is not supported`, remedy);
}

/** Checks beyond the schema, with a remedy for each. @throws ParamError */
export function checkChatBody(body: ChatBody): void {
  const { n, response_format: format, tool_choice: choice, modalities, stream_options } = body;
  if (n !== undefined && n !== 1) throw unsupported("n", `n is ${n}`, "send one request for each answer");
  if (format !== undefined && format.type !== "text")
    throw unsupported("response_format", "the response format is not text", "ask for JSON in the messages");
  if (choice !== undefined && choice !== "auto" && choice !== "none")
    throw unsupported("tool_choice", "tool_choice is neither auto nor none", "use auto");
  if (modalities?.some((modality) => modality !== "text"))
    throw unsupported("modalities", "modalities have more than text", 'use ["text"]');
  if (body.top_logprobs !== undefined && body.logprobs !== true)
    throw unsupported("top_logprobs", "top_logprobs is given without logprobs", 'add "logprobs": true');
  if (stream_options !== undefined && body.stream !== true)
    throw unsupported("stream_options", "stream_options are given without stream", 'add "stream": true');
}

function unsupported(param: string, fact: string, remedy: string): ParamError {
  return new ParamError(param, new StatusError(400, fact, remedy));
}

/** Names of the tools that the model may call. */
export function offeredTools({ tools = [], tool_choice: choice }: ChatBody): readonly string[] {
  return choice === "none" ? [] : tools.map((tool) => tool.function.name);
}

/** The options under the names of the chat engine. */
export function chatOptions(body: ChatBody): Omit<ChatRequest, "messages" | "signal" | "caller"> {
  const { seed, top_k: topK, max_tokens, max_completion_tokens: maxTokens = max_tokens } = body;
  const options = {
    tools: offeredTools(body).length === 0 ? undefined : body.tools,
    templateVariables: body.chat_template_kwargs,
    temperature: body.temperature,
    topP: body.top_p,
    topK: topK === -1 ? 0 : topK,
    minP: body.min_p,
    repetitionPenalty: body.repetition_penalty,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    seed: seed === undefined ? undefined : Number(BigInt.asUintN(32, BigInt(seed))),
    stop: body.stop,
    maxTokens,
    logprobs: body.logprobs === true ? (body.top_logprobs ?? 0) : undefined,
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as ReturnType<typeof chatOptions>;
}

export interface ReadMessages {
  readonly messages: readonly ChatMessage[];
  /** The member that names each image and video, in their order: "messages[0].content[1].image_url". */
  readonly mediaParams: readonly string[];
}

export interface ReadMessagesOptions {
  readonly policy: MediaPolicy;
  readonly maxItems: number;
  /** Tokens. */
  readonly contextSize: number;
  readonly signal: AbortSignal;
}

/** Longest token of all known vocabularies, in characters. */
const MOST_CHARACTERS_A_TOKEN = 128;

/** @throws ParamError with an error of {@link readMedia}; VG_QUEUE_FULL */
export async function readMessages(
  body: ChatBody,
  state: RequestState,
  { policy, maxItems, contextSize, signal }: ReadMessagesOptions,
): Promise<ReadMessages> {
  // Checked before templates and tokenizers spend time on the text.
  const characters = textLength(body);
  if (characters > contextSize * MOST_CHARACTERS_A_TOKEN) {
    const fact = `the messages have ${characters} characters, and the context ${contextSize} tokens`;
    throw new ParamError("messages", new StatusError(400, fact, "shorten them"));
  }
  const media: MediaSource[] = [];
  const parts = body.messages.map(({ content }, index) =>
    typeof content === "object" ? listParts(content, `messages[${index}].content`, media) : undefined,
  );
  if (media.length > maxItems) {
    const fact = `the messages have ${media.length} images and videos, more than the limit of ${maxItems}`;
    throw new ParamError(
      "messages",
      new StatusError(400, fact, "send fewer, or raise maxItems of the server"),
    );
  }
  const read = await Promise.all(
    media.map(async ({ type, source, param }): Promise<ChatPart> => {
      try {
        const bytes = await readMedia(source, policy, { ...state, signal });
        return type === "image" ? { type, image: bytes } : { type, video: bytes };
      } catch (error) {
        throw new ParamError(param, error);
      }
    }),
  );
  const messages = body.messages.map(({ role, content = null, ...message }, index): ChatMessage => {
    const { refusal: _refusal, annotations: _annotations, ...fields } = message;
    return {
      ...fields,
      role: role === "developer" ? "system" : role,
      content:
        typeof content === "object"
          ? (parts[index]?.map((part) => ("media" in part ? (read[part.media] as ChatPart) : part)) ?? null)
          : content,
    };
  });
  return { messages, mediaParams: media.map(({ param }) => param) };
}

interface MediaSource {
  readonly type: "image" | "video";
  readonly source: string;
  readonly param: string;
}

/**
 * Appends a message's images and videos to `media`.
 * @returns its text parts, and for each image and video its index in `media`
 * @throws ParamError
 */
function listParts(
  parts: readonly BodyPart[],
  at: string,
  media: MediaSource[],
): readonly (Extract<ChatPart, { type: "text" }> | { readonly media: number })[] {
  return parts.map((part, index) => {
    const { type } = part;
    const member = part[type];
    if (member === undefined) {
      const error = new StatusError(400, `a part of type ${type} has no member ${type}`, "add it");
      throw new ParamError(`${at}[${index}]`, error);
    }
    if (type === "text") return { type, text: member as string };
    const source = typeof member === "string" ? member : member.url;
    const param = `${at}[${index}].${type}`;
    media.push({ type: type.startsWith("image") ? "image" : "video", source, param });
    return { media: media.length - 1 };
  });
}

/** Characters that the chat template processes. Messages and parts without text take time too: each counts as one token. */
function textLength({ messages, tools = [], chat_template_kwargs: variables = {} }: ChatBody): number {
  let length = JSON.stringify([tools, variables]).length;
  for (const { content = "", ...fields } of messages) {
    length += MOST_CHARACTERS_A_TOKEN + JSON.stringify(fields).length;
    if (typeof content === "string") length += content.length;
    else for (const { text = "" } of content) length += MOST_CHARACTERS_A_TOKEN + text.length;
  }
  return length;
}
