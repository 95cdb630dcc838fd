/** JSON schemas of chat requests and answers: they validate what comes in, and make /openapi.json. */
import { ERROR, MEDIA, NULL_IS_ABSENT } from "./schemas.js";

const PART = {
  type: "object",
  required: ["type"],
  additionalProperties: false,
  description: "The member that the type names is required.",
  properties: {
    type: { enum: ["text", "image_url", "image", "video_url", "video"] },
    text: { type: "string" },
    image_url: MEDIA,
    image: MEDIA,
    video_url: MEDIA,
    video: MEDIA,
  },
} as const;

const TOOL_NAME = { type: "string", pattern: "^[A-Za-z0-9_.-]{1,64}$" } as const;

const TOOL_CALL = {
  type: "object",
  required: ["id", "type", "function"],
  additionalProperties: false,
  properties: {
    index: { type: "integer" },
    id: { type: "string" },
    type: { const: "function" },
    function: {
      type: "object",
      required: ["name", "arguments"],
      additionalProperties: false,
      properties: { name: { type: "string" }, arguments: { type: "string", description: "JSON." } },
    },
  },
} as const;

const MESSAGE = {
  type: "object",
  required: ["role"],
  additionalProperties: false,
  properties: {
    role: {
      enum: ["system", "developer", "user", "assistant", "tool"],
      description: "`developer` is the template's `system`.",
    },
    content: { type: ["string", "array", "null"], items: PART },
    name: { type: "string" },
    tool_calls: { type: "array", items: TOOL_CALL },
    tool_call_id: { type: "string" },
    reasoning_content: { type: "string" },
    refusal: { description: "No effect." },
    annotations: { description: "No effect." },
  },
} as const;

const TOOL = {
  type: "object",
  required: ["type", "function"],
  additionalProperties: false,
  properties: {
    type: { const: "function" },
    function: {
      type: "object",
      required: ["name"],
      additionalProperties: false,
      properties: {
        name: TOOL_NAME,
        description: { type: "string" },
        parameters: { type: "object", description: "A JSON schema." },
        strict: { type: "boolean", description: "No effect." },
      },
    },
  },
} as const;

const PENALTY = { type: "number", minimum: -2, maximum: 2, default: 0 } as const;
const MAX_TOKENS = {
  type: "integer",
  minimum: 1,
  maximum: 2 ** 31 - 1,
  description: "Default: as many as the context has room for.",
} as const;
const MOST_STOPS = 16;
const STOP = { minLength: 1, maxLength: 200 } as const;

/** OpenAI's members that have no effect here. */
const WITHOUT_EFFECT = [
  "user",
  "metadata",
  "store",
  "service_tier",
  "safety_identifier",
  "prompt_cache_key",
  "prompt_cache_retention",
  "parallel_tool_calls",
  "prediction",
  "reasoning_effort",
  "verbosity",
] as const;

export const CHAT_BODY = {
  type: "object",
  required: ["messages"],
  additionalProperties: false,
  description: NULL_IS_ABSENT,
  properties: {
    model: { type: "string", description: "The name that /v1/models gives." },
    messages: { type: "array", minItems: 1, items: MESSAGE },
    tools: { type: "array", maxItems: 128, items: TOOL },
    tool_choice: { type: ["string", "object"], description: "Must be auto or none." },
    temperature: { type: "number", minimum: 0, maximum: 2, default: 1 },
    top_p: { type: "number", minimum: 0, maximum: 1, default: 1 },
    top_k: { type: "integer", minimum: -1, maximum: 2 ** 31 - 1, description: "0 and -1: all tokens." },
    min_p: { type: "number", minimum: 0, maximum: 1, default: 0 },
    frequency_penalty: PENALTY,
    presence_penalty: PENALTY,
    repetition_penalty: { type: "number", minimum: 0.01, maximum: 100, default: 1 },
    seed: { type: "integer", description: "Modulo 2³²." },
    stop: { type: ["string", "array"], ...STOP, maxItems: MOST_STOPS, items: { type: "string", ...STOP } },
    max_tokens: MAX_TOKENS,
    max_completion_tokens: { ...MAX_TOKENS, description: "Takes precedence over max_tokens." },
    logprobs: { type: "boolean", default: false },
    top_logprobs: { type: "integer", minimum: 0, maximum: 20, description: "Needs logprobs." },
    n: { type: "integer", description: "Must be 1." },
    stream: { type: "boolean", default: false },
    stream_options: {
      type: "object",
      additionalProperties: false,
      properties: {
        include_usage: { type: "boolean", default: false },
        include_obfuscation: { description: "No effect." },
      },
    },
    response_format: { type: "object", description: 'Must be {"type": "text"}.' },
    modalities: { type: "array", description: 'Must be ["text"].' },
    chat_template_kwargs: { type: "object", description: "Variables of the chat template, as for vLLM." },
    ...(Object.fromEntries(WITHOUT_EFFECT.map((name) => [name, { description: "No effect." }])) as {
      readonly [Name in (typeof WITHOUT_EFFECT)[number]]: { readonly description: string };
    }),
  },
} as const;

const COUNT = { type: "integer", minimum: 0 } as const;
const BYTES = { type: "array", items: COUNT } as const;
const FINISH_REASON = { enum: ["stop", "length", "tool_calls"] } as const;

const TOKEN_LOGPROB = { token: { type: "string" }, logprob: { type: "number" }, bytes: BYTES } as const;

const LOGPROBS = {
  type: ["object", "null"],
  properties: {
    content: {
      type: "array",
      items: {
        type: "object",
        properties: {
          ...TOKEN_LOGPROB,
          top_logprobs: { type: "array", items: { type: "object", properties: TOKEN_LOGPROB } },
        },
      },
    },
  },
} as const;

const USAGE = {
  type: "object",
  properties: {
    prompt_tokens: { ...COUNT, description: "Tokens of text and of images." },
    completion_tokens: COUNT,
    total_tokens: COUNT,
    prompt_tokens_details: {
      type: "object",
      properties: {
        cached_tokens: { ...COUNT, description: "Of the prompt's, those that were in a KV cache." },
        image_tokens: { ...COUNT, description: "Of images and videos." },
      },
    },
  },
} as const;

const COMPLETION = {
  type: "object",
  properties: {
    id: { type: "string" },
    object: { const: "chat.completion" },
    created: COUNT,
    model: { type: "string" },
    choices: {
      type: "array",
      items: {
        type: "object",
        properties: {
          index: COUNT,
          message: {
            type: "object",
            properties: {
              role: { const: "assistant" },
              content: { type: ["string", "null"] },
              refusal: { type: "null" },
              tool_calls: { type: "array", items: TOOL_CALL },
            },
          },
          logprobs: LOGPROBS,
          finish_reason: FINISH_REASON,
        },
      },
    },
    usage: USAGE,
  },
} as const;

export const CHAT_ANSWERS = {
  200: {
    description: "The answer; with `stream`, OpenAI's events with its pieces.",
    content: {
      "application/json": { schema: COMPLETION },
      "text/event-stream": { schema: { type: "string" } },
    },
  },
  "4xx": ERROR,
  "5xx": ERROR,
} as const;
