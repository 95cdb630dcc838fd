/** /v1/chat/completions with the whole stack: OpenAI's client, the server, llama.cpp, and the encoder that embeddings share. */
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { EncoderEngine } from "@vitgraph/core";
import type { LlamaEngine } from "@vitgraph/llama-cpp";
import { createServer } from "@vitgraph/server";
import OpenAI from "openai";
import type { ChatCompletionMessageParam } from "openai/resources/chat";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { CHECKPOINT, fixtureEngine, imagePath, silent } from "./chat-fixture.js";

/** What llama.cpp's difference from transformers moves a logit by: smaller margins may go either way. See llama-cpp.test.ts. */
const LOGIT_NOISE = 0.03;

interface Part {
  readonly type: "text" | "image";
  readonly text: string;
  readonly image: string;
}
/** By transformers: see make_chat_answers.py. */
interface Conversation {
  readonly messages: readonly { readonly role: string; readonly content: string | readonly Part[] }[];
  readonly prompt_tokens: number;
  readonly greedy: readonly number[];
  readonly margin: readonly number[];
}
const conversations: readonly Conversation[] = JSON.parse(
  await readFile(`${CHECKPOINT}/chat-messages.json`, "utf8"),
);

const dataUrl = async (path: string): Promise<string> =>
  `data:image/png;base64,${(await readFile(path)).toString("base64")}`;

/** As OpenAI's client sends it. */
async function messagesOf({ messages }: Conversation): Promise<ChatCompletionMessageParam[]> {
  const part = async ({ type, text, image }: Part) =>
    type === "text"
      ? ({ type, text } as const)
      : ({ type: "image_url", image_url: { url: await dataUrl(imagePath(image)) } } as const);
  return Promise.all(
    messages.map(async ({ role, content }) => ({
      role,
      content: typeof content === "string" ? content : await Promise.all(content.map(part)),
    })),
  ) as Promise<ChatCompletionMessageParam[]>;
}

/** The tokens before the first whose margin rounding can turn. */
function certain({ greedy, margin }: Conversation): readonly number[] {
  const close = margin.findIndex((difference) => difference < LOGIT_NOISE);
  return close < 0 ? greedy : greedy.slice(0, close);
}

async function open(compilationConfig: object) {
  const engine = await EncoderEngine.create({
    model: CHECKPOINT,
    devices: [{ backend: "cpu" }],
    compilationConfig,
    outputCacheBytes: 0,
  });
  const chat = await fixtureEngine({
    parallel: 8,
    encoder: { engine, logger: silent },
  });
  const app = await createServer({ engine, chat, modelName: "tower", chatModelName: "tiny" });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const client = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: "none", maxRetries: 0 });
  return {
    engine,
    chat,
    client,
    async [Symbol.asyncDispose]() {
      await app.close();
      await chat.close();
      await engine.close();
    },
  };
}

const idle = { preparing: 0, waiting: 0, running: 0 };

describe.each([
  ["graphs on", { compile_mm_encoder: true, cudagraph_mm_encoder: true }],
  ["graphs off", { compile_mm_encoder: true, cudagraph_mm_encoder: false }],
])("%s", (_, compilationConfig) => {
  test("32 clients at once get transformers' tokens", async () => {
    await using opened = await open(compilationConfig);
    const asked = Array.from({ length: 32 }, (_, index) => conversations[index % 4] as Conversation);
    const answers = await Promise.all(
      asked.map(async (conversation) =>
        opened.client.chat.completions.create({
          model: "tiny",
          messages: await messagesOf(conversation),
          temperature: 0,
          max_tokens: conversation.greedy.length,
          logprobs: true,
        }),
      ),
    );
    const textOf = (tokens: readonly number[]) => tokens.map((token) => [...opened.chat.tokenBytes(token)]);
    for (const [index, { choices, usage }] of answers.entries()) {
      const conversation = asked[index] as Conversation;
      const expected = textOf(certain(conversation));
      const actual = choices[0]?.logprobs?.content?.map(({ bytes }) => bytes) ?? [];
      expect(actual.slice(0, expected.length)).toEqual(expected);
      expect(usage?.prompt_tokens).toBe(conversation.prompt_tokens);
    }
    expect(conversations.map((conversation) => certain(conversation).length)).toEqual([10, 16, 16, 16]);
    expect(opened.engine.stats().graphHits > 0).toBe(compilationConfig.cudagraph_mm_encoder);
    await expect.poll(() => opened.chat.stats()).toEqual(idle);
  });
});

describe("OpenAI's client", () => {
  let opened: Awaited<ReturnType<typeof open>>;
  let client: OpenAI;
  let chat: LlamaEngine;
  beforeAll(async () => {
    opened = await open({});
    ({ client, chat } = opened);
  });
  afterAll(() => opened[Symbol.asyncDispose]());

  const [text, , several] = conversations as [Conversation, Conversation, Conversation, Conversation];
  const request = async (conversation: Conversation) => ({
    model: "tiny",
    messages: await messagesOf(conversation),
    temperature: 0,
    max_tokens: 16,
  });

  test("streams what comes whole, with the usage", async () => {
    const body = await request(several);
    const whole = await client.chat.completions.create(body);
    const stream = await client.chat.completions.create({
      ...body,
      stream: true,
      stream_options: { include_usage: true },
    });
    let streamed = "";
    const reasons: unknown[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      streamed += chunk.choices[0]?.delta.content ?? "";
      if (chunk.choices[0]?.finish_reason) reasons.push(chunk.choices[0].finish_reason);
      usage = chunk.usage ?? usage;
    }
    expect(streamed).toBe(whole.choices[0]?.message.content);
    expect(streamed).not.toBe("");
    expect(reasons).toEqual(["length"]);
    expect(usage).toMatchObject({ prompt_tokens: several.prompt_tokens, completion_tokens: 16 });
    // 224² and 57 × 301 pixels; the second time the prompt is in a cache.
    expect(usage?.prompt_tokens_details).toEqual({
      image_tokens: 64 + 76,
      cached_tokens: several.prompt_tokens - 1,
    });
  });

  test("reads log probabilities of the likeliest tokens", async () => {
    const { choices } = await client.chat.completions.create({
      ...(await request(text)),
      logprobs: true,
      top_logprobs: 3,
    });
    const [first] = choices[0]?.logprobs?.content ?? [];
    expect(first?.top_logprobs).toHaveLength(3);
    expect(first?.logprob).toBe(first?.top_logprobs[0]?.logprob);
    expect(first?.bytes).toEqual([...chat.tokenBytes(text.greedy[0] as number)]);
  });

  test("asks for an image's embedding, from the same encoder", async () => {
    const input = await dataUrl(imagePath("image0_224x224.png"));
    const { data } = await client.embeddings.create({ model: "tower", input });
    const [outcome] = await opened.engine.encode([
      { image: await readFile(imagePath("image0_224x224.png")) },
    ]);
    if (outcome?.status !== "fulfilled") throw new Error("not encoded");
    expect(Float32Array.from(data[0]?.embedding ?? [])).toEqual(outcome.value.data);
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["tower", "tiny"]);
  });

  test("asks about a video", async () => {
    const video = await readFile(new URL("../fixtures/videos/animated.gif", import.meta.url));
    const question = { type: "text", text: "What?" } as const;
    const url = `data:image/gif;base64,${video.toString("base64")}`;
    const content = [{ type: "video_url", video_url: { url } }, question];
    const { choices, usage } = await client.chat.completions.create({
      model: "tiny",
      messages: [{ role: "user", content: content as never }],
      temperature: 0,
      max_tokens: 8,
    });
    const direct = await chat.chat({
      messages: [{ role: "user", content: [{ type: "video", video }, question] }],
      temperature: 0,
      maxTokens: 8,
    }).result;
    expect(choices[0]?.message.content).toBe(direct.text);
    expect(direct.usage.imageTokens).toBeGreaterThan(0);
    expect(usage?.prompt_tokens_details).toMatchObject({ image_tokens: direct.usage.imageTokens });
  });

  test("sees errors by class, with the member that is wrong", async () => {
    const image = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } } as const;
    const body = await request(text);
    const asked = (more: object) =>
      client.chat.completions.create({ ...body, ...more }).then(
        () => "answered",
        (error: unknown) => error,
      );
    const wrong = await asked({ messages: [{ role: "user", content: [image] }] });
    expect(wrong).toBeInstanceOf(OpenAI.BadRequestError);
    expect(wrong).toMatchObject({ param: "messages[0].content[0].image_url", code: "VG_IMAGE_INVALID" });
    expect(await asked({ model: "other" })).toBeInstanceOf(OpenAI.NotFoundError);
    expect(await asked({ temperature: 9 })).toMatchObject({ param: "temperature" });
    expect(await asked({ messages: [{ role: "user", content: "x ".repeat(2000) }] })).toMatchObject({
      status: 400,
      message: expect.stringMatching(/the prompt has \d+ tokens, and the context 1024/),
    });
    const local = { type: "image_url", image_url: { url: CHECKPOINT } } as const;
    expect(await asked({ messages: [{ role: "user", content: [local] }] })).toBeInstanceOf(
      OpenAI.PermissionDeniedError,
    );
  });

  test("takes a request back: by a signal, and by leaving the stream", async () => {
    const body = { ...(await request(several)), max_tokens: 800 };
    const controller = new AbortController();
    const start = chat.chat.bind(chat);
    let taken: Promise<unknown> | undefined;
    // Within the call: a whole answer may take less time than a look at what runs.
    const asked = vi.spyOn(chat, "chat").mockImplementation((options) => {
      const generation = start(options);
      taken = generation.result;
      controller.abort();
      return generation;
    });
    const whole = client.chat.completions.create(body, { signal: controller.signal });
    await expect(whole).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
    await expect(taken).rejects.toMatchObject({ code: "VG_ABORTED" });
    asked.mockRestore();
    await expect.poll(() => chat.stats()).toEqual(idle);
    for await (const _ of await client.chat.completions.create({ ...body, stream: true })) break;
    await expect.poll(() => chat.stats()).toEqual(idle);
  });
});
