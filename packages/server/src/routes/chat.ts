/** POST /v1/chat/completions: messages with images and videos in, the language model's answer out, whole or as a stream. */
import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { VitgraphError } from "@vitgraph/errors";
import type { FastifyInstance } from "fastify";
import type { ChatChunk, ChatGeneration, ServedChat } from "../chat-engine.js";
import { completion, completionEvents, EVENT_STREAM_TYPE } from "../chat-formats.js";
import {
  type ChatBody,
  chatOptions,
  checkChatBody,
  offeredTools,
  readMessages,
  refuseUnsupported,
} from "../chat-input.js";
import { countChats } from "../chat-metrics.js";
import { checkModel, httpError, ParamError } from "../http-errors.js";
import type { MediaPolicy } from "../media/read-media.js";
import { dropNulls } from "../null-members.js";
import { requestState } from "../request-state.js";
import type { ResolvedServerOptions } from "../server-options.js";
import { CHAT_ANSWERS, CHAT_BODY } from "./chat-schemas.js";

/** Memory of an unread chunk, and of each of its log probabilities: objects with one or two numbers. */
const CHUNK_BYTES = 100;
const LOGPROB_BYTES = 100;

export function registerChat(
  app: FastifyInstance,
  chat: ServedChat,
  { limits, chatModelName, logger, metrics }: ResolvedServerOptions,
  policy: MediaPolicy,
): void {
  const { contextSize } = chat;
  const { chatMs, maxItems, sendMs } = limits;
  const modelName = chatModelName ?? chat.name;
  const count = metrics === undefined ? undefined : countChats(metrics, chat);

  app.post(
    "/v1/chat/completions",
    {
      schema: { summary: "An answer to messages", body: CHAT_BODY, response: CHAT_ANSWERS },
      config: { answerMs: chatMs },
      preValidation: async ({ body }) => {
        dropNulls(body);
        refuseUnsupported(body);
      },
    },
    async (request, reply) => {
      const state = requestState(request);
      const body = request.body as ChatBody;
      checkModel(body.model, modelName);
      checkChatBody(body);
      const signal = AbortSignal.any([state.signal, deadline(chatMs, state.signal)]);
      const { messages, mediaParams } = await readMessages(body, state, {
        policy,
        maxItems,
        contextSize,
        signal,
      });
      const options = chatOptions(body);
      const { maxTokens = contextSize, logprobs } = options;
      const chunkBytes = CHUNK_BYTES + (logprobs === undefined ? 0 : (1 + logprobs) * LOGPROB_BYTES);
      // The answer is held until a slow client has read it.
      state.memory.take(Math.min(maxTokens, contextSize) * chunkBytes);
      const generation = chat.chat({ ...options, messages, signal, caller: state.caller });
      generation.result.then(count, () => {});
      const answer = {
        id: `chatcmpl-${randomUUID()}`,
        model: modelName,
        created: Math.floor(Date.now() / 1000),
        tokenBytes: (token: number) => chat.tokenBytes(token),
        tools: offeredTools(body),
        includeUsage: body.stream_options?.include_usage === true,
        onError: (err: unknown) => {
          if (httpError(err).status >= 500) logger?.error({ requestId: request.id, err }, "a stream failed");
        },
      };
      try {
        if (body.stream !== true) return await completion(generation, answer);
        // An error before the first token still has a status.
        const events = completionEvents(await started(generation), answer);
        // An idle socket with unsent bytes means that the client does not read. Without them the model is slow, or writes a
        // tool call, which is held back until it is whole.
        request.raw.setTimeout(sendMs);
        reply.raw.on("timeout", (socket: Socket) => {
          if (socket.writableLength > 0) socket.destroy();
        });
        return reply
          .type(EVENT_STREAM_TYPE)
          .header("cache-control", "no-cache")
          .header("x-accel-buffering", "no")
          .send(Readable.from(events, { objectMode: false }));
      } catch (error) {
        throw withMediaParam(error, mediaParams);
      }
    },
  );
}

/** Aborts with VG_DEADLINE_EXCEEDED after the time, unless the request has ended by then. */
function deadline(ms: number, ended: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(
      new VitgraphError("VG_DEADLINE_EXCEEDED", `the answer took longer than ${ms} ms`, {
        remedy: "ask for fewer tokens, send fewer or smaller images, or raise chatMs of the server",
      }),
    );
  }, ms);
  // If the request has ended already, nothing clears the timer.
  timer.unref();
  ended.addEventListener("abort", () => clearTimeout(timer), { once: true });
  return controller.signal;
}

/** The same generation once its first chunk has come. @throws its error before that */
async function started(generation: ChatGeneration): Promise<ChatGeneration> {
  const chunks = generation[Symbol.asyncIterator]();
  const first = await chunks.next();
  return {
    result: generation.result,
    async *[Symbol.asyncIterator](): AsyncGenerator<ChatChunk> {
      if (first.done === true) return;
      yield first.value;
      yield* { [Symbol.asyncIterator]: () => chunks };
    },
  };
}

/** Adds the request member of the image or video that failed. */
function withMediaParam(error: unknown, params: readonly string[]): unknown {
  if (!VitgraphError.is(error) || typeof error.details.media !== "number") return error;
  const param = params[error.details.media];
  return param === undefined ? error : new ParamError(param, error);
}
