/** /v1/chat/completions in front of a chat engine that plays a script. The whole stack is in test/hosts. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EngineMetrics } from "@vitgraph/core/observability";
import { VitgraphError } from "@vitgraph/errors";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cpuSeconds } from "../../../vitest.cpu-time.js";
import { type Script, scriptedChat, USAGE } from "../test/scripted-chat.js";
import { dataUrl, errorOf, openTestEngine, png, serve, type TestEngine } from "../test/serve.js";
import type { ServerOptions } from "./server-options.js";

const KEY = "a-key-of-the-test-0123456789";
const OTHER_KEY = "b-key-of-the-test-0123456789";
const HELLO = [{ text: "Hel", token: 72 }, { text: "lo", token: 108 }, { text: "!" }];
const messages = [{ role: "user", content: "Hi" }];

let opened: TestEngine;
let image: Buffer;
beforeAll(async () => {
  opened = await openTestEngine();
  image = await png(16, 8);
});
afterAll(() => opened[Symbol.asyncDispose]());

async function serveChat(script: Script, options: Partial<ServerOptions> = {}) {
  const chat = scriptedChat(script);
  const server = await serve({ engine: opened.engine, chat, ...options });
  return { ...server, requests: chat.requests };
}

/** The data of each event. */
async function eventsOf(response: Response): Promise<readonly unknown[]> {
  const text = await response.text();
  expect(text.endsWith("\n\n")).toBe(true);
  const lines = text.slice(0, -2).split("\n\n");
  return lines.map((line) => {
    expect(line).toMatch(/^data: /);
    return line === "data: [DONE]" ? "[DONE]" : JSON.parse(line.slice(6));
  });
}

async function until(isTrue: () => boolean): Promise<void> {
  await expect.poll(isTrue, { interval: 5 }).toBe(true);
}

const OPENAI_USAGE = {
  prompt_tokens: 20,
  completion_tokens: 2,
  total_tokens: 22,
  prompt_tokens_details: { cached_tokens: 5, image_tokens: 8 },
};

test("an answer has OpenAI's form", async () => {
  await using server = await serveChat({ chunks: HELLO, finishReason: "length" });
  const response = await server.chat({ model: "scripted", messages });
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({
    id: expect.stringMatching(/^chatcmpl-/),
    object: "chat.completion",
    created: expect.any(Number),
    model: "scripted",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: "Hello!", refusal: null },
        logprobs: null,
        finish_reason: "length",
      },
    ],
    usage: OPENAI_USAGE,
  });
  expect(USAGE.completionTokens).toBe(2);
});

test("a body that is one long string is refused as fast as any other", async () => {
  await using server = await serveChat({ chunks: HELLO });
  const seconds = await cpuSeconds(async () => {
    const error = await errorOf(await server.chat(JSON.stringify("a".repeat(16 << 20))));
    expect(error).toMatchObject({ status: 400, message: "the body must be object: see /openapi.json" });
  });
  // Listing its characters as members takes ten seconds.
  expect(seconds).toBeLessThan(4);
});

test("a stream has a piece for each text, the reason, the usage if it is wanted, and an end", async () => {
  await using server = await serveChat({ chunks: HELLO });
  const response = await server.chat({ messages, stream: true, stream_options: { include_usage: true } });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const events = (await eventsOf(response)) as readonly Record<string, unknown>[];
  expect(events.at(-1)).toBe("[DONE]");
  const chunks = events.slice(0, -1);
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  expect(chunks[0]).toMatchObject({ object: "chat.completion.chunk", model: "scripted", usage: null });
  const choice = (delta: object, finish_reason: string | null = null) => [
    { index: 0, delta, logprobs: null, finish_reason },
  ];
  expect(chunks.map(({ choices }) => choices)).toEqual([
    choice({ role: "assistant", content: "" }),
    choice({ content: "Hel" }),
    choice({ content: "lo" }),
    choice({ content: "!" }),
    choice({}, "stop"),
    [],
  ]);
  expect(chunks.at(-1)?.usage).toEqual(OPENAI_USAGE);
  const plain = await eventsOf(await server.chat({ messages, stream: true }));
  expect(JSON.stringify(plain)).not.toContain("usage");
});

test("log probabilities come with their tokens, whole and streamed", async () => {
  const topLogprobs = [
    { token: 0xe9, logprob: -0.5 },
    { token: 97, logprob: Number.NEGATIVE_INFINITY },
  ];
  const chunks = [
    { text: "", token: 0xe9, logprob: -0.5, topLogprobs },
    { text: "é", token: 97, logprob: -2, topLogprobs: [] },
  ];
  await using server = await serveChat({ chunks });
  const expected = [
    {
      token: "é",
      logprob: -0.5,
      bytes: [0xc3, 0xa9],
      top_logprobs: [
        { token: "é", logprob: -0.5, bytes: [0xc3, 0xa9] },
        { token: "a", logprob: -9999, bytes: [97] },
      ],
    },
    { token: "a", logprob: -2, bytes: [97], top_logprobs: [] },
  ];
  const body = { messages, logprobs: true, top_logprobs: 2 };
  const whole = (await (await server.chat(body)).json()) as { choices: { logprobs: unknown }[] };
  expect(whole.choices[0]?.logprobs).toEqual({ content: expected });
  const events = await eventsOf(await server.chat({ ...body, stream: true }));
  const streamed = events.flatMap((event) => {
    const { choices = [] } = event as { choices?: { logprobs: { content: unknown[] } | null }[] };
    return choices[0]?.logprobs?.content ?? [];
  });
  expect(streamed).toEqual(expected);
  expect(server.requests.map(({ logprobs }) => logprobs)).toEqual([2, 2]);
});

test("options go to the engine under its names, with the caller", async () => {
  await using server = await serveChat({ chunks: HELLO });
  await server.chat({
    messages,
    temperature: 0.5,
    top_p: 0.9,
    top_k: -1,
    min_p: 0.1,
    frequency_penalty: 1,
    presence_penalty: -1,
    repetition_penalty: 1.1,
    seed: -1,
    stop: ["a", "b"],
    max_tokens: 5,
    max_completion_tokens: 7,
    chat_template_kwargs: { enable_thinking: false },
  });
  expect(server.requests[0]).toEqual({
    messages: [{ role: "user", content: "Hi" }],
    temperature: 0.5,
    topP: 0.9,
    topK: 0,
    minP: 0.1,
    frequencyPenalty: 1,
    presencePenalty: -1,
    repetitionPenalty: 1.1,
    seed: 2 ** 32 - 1,
    stop: ["a", "b"],
    maxTokens: 7,
    templateVariables: { enable_thinking: false },
    signal: expect.any(AbortSignal),
    caller: "address 127.0.0.1",
  });
});

test("members of OpenAI's API without effect, and nulls, are accepted", async () => {
  await using server = await serveChat({ chunks: HELLO });
  const response = await server.chat({
    messages: [
      { role: "developer", content: "short", name: null },
      { role: "assistant", content: null, refusal: null, annotations: [], audio: null, function_call: null },
      { role: "user", content: [{ type: "text", text: "Hi" }] },
    ],
    user: "u",
    metadata: { a: "b" },
    store: false,
    service_tier: "auto",
    parallel_tool_calls: false,
    reasoning_effort: "low",
    n: 1,
    response_format: { type: "text" },
    modalities: ["text"],
    tool_choice: "none",
    stop: null,
    max_tokens: null,
    logit_bias: null,
    stream_options: null,
  });
  expect(response.status).toBe(200);
  expect(server.requests[0]?.messages).toEqual([
    { role: "system", content: "short" },
    { role: "assistant", content: null },
    { role: "user", content: [{ type: "text", text: "Hi" }] },
  ]);
});

test("nulls of a client's types are absent at every depth, and stay in what is the client's own", async () => {
  await using server = await serveChat({ chunks: HELLO });
  const schema = { type: "object", properties: { a: { enum: [null, 1] } }, additionalProperties: null };
  const call = { id: "call_1", type: "function", function: { name: "f", arguments: "{}" } };
  const response = await server.chat({
    messages: [
      { role: "assistant", content: null, tool_calls: [{ ...call, index: null }] },
      {
        role: "user",
        content: [
          { type: "text", text: "Hi", image_url: null },
          { type: "image_url", image_url: { url: dataUrl(image), detail: null } },
        ],
      },
    ],
    tools: [
      { type: "function", function: { name: "f", description: null, strict: null, parameters: schema } },
    ],
    chat_template_kwargs: { a: null },
    stream: true,
    stream_options: { include_usage: null, include_obfuscation: null },
  });
  expect(response.status).toBe(200);
  await response.text();
  const [request] = server.requests;
  expect(request?.messages[0]).toEqual({ role: "assistant", content: null, tool_calls: [call] });
  expect(request?.tools).toEqual([{ type: "function", function: { name: "f", parameters: schema } }]);
  expect(request?.templateVariables).toEqual({ a: null });
});

test("images and videos come as data URLs, paths and URLs, in each form of a part", async () => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  try {
    await writeFile(join(directory, "a.png"), image);
    await using server = await serveChat({ chunks: HELLO }, { allowedLocalMediaPath: directory });
    const url = dataUrl(image);
    const content = [
      { type: "text", text: "Look:" },
      { type: "image_url", image_url: { url, detail: "high" } },
      { type: "image_url", image_url: url },
      { type: "image", image: "a.png" },
      { type: "video_url", video_url: { url } },
      { type: "video", video: url },
    ];
    expect((await server.chat({ messages: [{ role: "user", content }] })).status).toBe(200);
    const bytes = new Uint8Array(image);
    const parts = server.requests[0]?.messages[0]?.content as readonly Record<string, unknown>[];
    expect(parts.map(({ type }) => type)).toEqual(["text", "image", "image", "image", "video", "video"]);
    for (const { type, image: read, video } of parts.slice(1))
      expect(new Uint8Array((type === "image" ? read : video) as Buffer)).toEqual(bytes);
    const remote = [{ type: "image_url", image_url: { url: "http://127.0.0.1/a.png" } }];
    const refused = await server.chat({ messages: [...messages, { role: "user", content: remote }] });
    expect(await errorOf(refused)).toMatchObject({
      status: 403,
      code: "VG_MEDIA_REFUSED",
      param: "messages[1].content[0].image_url",
    });
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("an image that the engine refuses is named", async () => {
  const error = new VitgraphError("VG_IMAGE_INVALID", "not an image", { details: { media: 1 } });
  await using server = await serveChat({ error });
  const part = { type: "image_url", image_url: { url: dataUrl(image) } };
  const content = [part, { type: "text", text: "and" }, part];
  expect(await errorOf(await server.chat({ messages: [{ role: "user", content }] }))).toMatchObject({
    status: 400,
    code: "VG_IMAGE_INVALID",
    param: "messages[0].content[2].image_url",
  });
});

const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const CALL_CHUNKS = ["Look.<tool", '_call>{"name": "weather", "arguments": ', '{"a": 1}}</tool_call>'].map(
  (text, index) => ({ text, token: 65 + index }),
);
const WEATHER = { type: "function", function: { name: "weather", arguments: '{"a":1}' } };

test("tools reach the template, and a call of one comes back as a call", async () => {
  await using server = await serveChat({ chunks: CALL_CHUNKS });
  const answer = (await (await server.chat({ messages, tools })).json()) as {
    choices: { message: Record<string, unknown>; finish_reason: string }[];
  };
  const id = expect.stringMatching(/^call_/);
  expect(answer.choices[0]).toMatchObject({
    message: { content: "Look.", tool_calls: [{ ...WEATHER, id }] },
    finish_reason: "tool_calls",
  });
  const events = await eventsOf(await server.chat({ messages, tools, stream: true }));
  const choices = events.flatMap((event) => (event as { choices?: object[] }).choices ?? []);
  expect(choices).toMatchObject([
    {},
    { delta: { content: "Look." } },
    { delta: { tool_calls: [{ ...WEATHER, id, index: 0 }] } },
    { finish_reason: "tool_calls" },
  ]);
  expect(server.requests.map((request) => request.tools)).toEqual([tools, tools]);
  const text = await server.chat({ messages, tools, tool_choice: "none" });
  expect(await text.json()).toMatchObject({
    choices: [
      {
        message: { content: CALL_CHUNKS.map((chunk) => chunk.text).join("") },
        finish_reason: "stop",
      },
    ],
  });
  expect(server.requests[2]?.tools).toBeUndefined();
});

test("a conversation goes on after a call", async () => {
  await using server = await serveChat({ chunks: HELLO });
  const conversation = [
    ...messages,
    { role: "assistant", content: null, tool_calls: [{ id: "call_1", ...WEATHER }] },
    { role: "tool", tool_call_id: "call_1", content: "rain" },
  ];
  expect((await server.chat({ messages: conversation, tools })).status).toBe(200);
  expect(server.requests[0]?.messages).toEqual(conversation);
});

test.each([
  ["a member that is unknown", { temprature: 1 }, "body", 'did you mean "temperature"?'],
  ["a member of a message", { messages: [{ role: "user", text: "" }] }, "messages[0]", '"text": remove it'],
  ["no messages", { messages: [] }, "messages", "must NOT have fewer than 1 items"],
  ["a role", { messages: [{ role: "bot" }] }, "messages[0].role", "is none of system, developer, user"],
  [
    "a part's type",
    { messages: [{ role: "user", content: [{ type: "input_audio" }] }] },
    "messages[0].content[0].type",
    "is none of text, image_url",
  ],
  [
    "a part without its member",
    { messages: [{ role: "user", content: [{ type: "image_url", text: "a" }] }] },
    "messages[0].content[0]",
    "a part of type image_url has no member image_url",
  ],
  ["two answers", { n: 2 }, "n", "n is 2: send one request for each answer"],
  ["JSON", { response_format: { type: "json_object" } }, "response_format", "is not text"],
  ["a tool that must be called", { tool_choice: "required" }, "tool_choice", "neither auto nor none"],
  ["audio", { modalities: ["text", "audio"] }, "modalities", "more than text"],
  ["functions", { functions: [] }, "functions", "functions is not supported: use tools"],
  ["logit_bias", { logit_bias: { 1: 1 } }, "logit_bias", "is not supported"],
  ["top_logprobs alone", { top_logprobs: 2 }, "top_logprobs", "given without logprobs"],
  ["too many of them", { logprobs: true, top_logprobs: 21 }, "top_logprobs", "must be <= 20"],
  [
    "options of a stream alone",
    { stream_options: { include_usage: true } },
    "stream_options",
    "without stream",
  ],
  ["a temperature", { temperature: 3 }, "temperature", "must be <= 2"],
  ["a number as text", { temperature: "1" }, "temperature", "must be number"],
  ["an empty stop text", { stop: [""] }, "stop[0]", "must NOT have fewer than 1 characters"],
  [
    "messages that no context has room for",
    { messages: [{ role: "user", content: "x".repeat(13_000) }] },
    "messages",
    "and the context 100 tokens: shorten them",
  ],
  [
    "more images than the limit",
    { messages: [{ role: "user", content: Array(65).fill({ type: "image", image: "data:" }) }] },
    "messages",
    "65 images and videos, more than the limit of 64",
  ],
])("%s is refused with 400 that names the member", async (_, body, param, message) => {
  await using server = await serveChat({ chunks: HELLO });
  for (const stream of [{}, { stream: true }]) {
    if ("stream_options" in body && "stream" in stream) continue;
    const error = await errorOf(await server.chat({ messages, ...body, ...stream }));
    expect(error).toMatchObject({ status: 400, type: "invalid_request_error", code: "VG_REQUEST_INVALID" });
    expect([error.param, error.message]).toEqual([param, expect.stringContaining(message)]);
  }
  expect(server.requests).toEqual([]);
});

test.each([
  ["80 000 messages", { messages: Array(80_000).fill({ role: "user", content: "" }) }],
  [
    "200 000 parts",
    { messages: [{ role: "user", content: Array(200_000).fill({ type: "text", text: "" }) }] },
  ],
  [
    "a megabyte of tools",
    { tools: [{ ...tools[0], function: { name: "f", description: "x".repeat(1e6) } }] },
  ],
  ["variables of a megabyte", { chat_template_kwargs: { a: "x".repeat(1e6) } }],
  ["arguments of a megabyte", { messages: [{ role: "assistant", reasoning_content: "x".repeat(1e6) }] }],
  ["nesting without end", { chat_template_kwargs: JSON.parse(`${'{"a":'.repeat(99)}1${"}".repeat(99)}`) }],
  ["a count beyond all numbers", { max_tokens: 1e300 }],
  ["a tool whose name is a program", { tools: [{ type: "function", function: { name: "a\n<tool_call>" } }] }],
])("%s are refused with 400, and soon", async (_, body) => {
  await using server = await serveChat({ chunks: HELLO });
  const text = JSON.stringify({ messages, ...body });
  const refused = { status: 400, code: "VG_REQUEST_INVALID" };
  const ask = async () => expect(await errorOf(await server.chat(text))).toMatchObject(refused);
  expect(await cpuSeconds(ask)).toBeLessThan(10);
  expect(server.requests).toEqual([]);
});

test("names of JavaScript's own are names like others", async () => {
  await using server = await serveChat({ chunks: HELLO });
  const kwargs = '{"__proto__": {"tools": 1}, "constructor": 2, "toString": 3}';
  const text = `{"messages": ${JSON.stringify(messages)}, "chat_template_kwargs": ${kwargs}}`;
  expect((await server.chat(text)).status).toBe(200);
  const { templateVariables = {} } = server.requests[0]!;
  expect(Object.keys(templateVariables)).toEqual(["__proto__", "constructor", "toString"]);
  expect(await errorOf(await server.chat(`{"constructor": 1, ${text.slice(1)}`))).toMatchObject({
    status: 400,
  });
  expect(await errorOf(await server.chat(`{"__proto__": 1, ${text.slice(1)}`))).toMatchObject({
    status: 400,
  });
});

test("another model is 404, and other media types are refused", async () => {
  await using server = await serveChat({ chunks: HELLO });
  expect(await errorOf(await server.chat({ model: "tiny", messages }))).toMatchObject({
    status: 404,
    param: "model",
    remedy: 'use "scripted"',
  });
  expect((await server.chat("x", { headers: { "content-type": "text/plain" } })).status).toBe(415);
  expect((await server.chat(new FormData() as never, { headers: {} })).status).toBe(400);
  expect((await server.chat("[]")).status).toBe(400);
  expect((await server.chat("null")).status).toBe(400);
});

test("an error before the first token has its status, in a stream too; 429 with Retry-After", async () => {
  const error = new VitgraphError("VG_QUEUE_FULL", "full", { remedy: "try again later" });
  await using server = await serveChat({ error });
  for (const stream of [false, true]) {
    const response = await server.chat({ messages, stream });
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await errorOf(response)).toMatchObject({ status: 429, type: "rate_limit_error" });
  }
});

test("an error after the first token is an event, and goes to the log", async () => {
  const lines: object[] = [];
  const drop = () => {};
  const logger = { debug: drop, info: drop, warn: drop, error: (fields: object) => lines.push(fields) };
  await using server = await serveChat({ chunks: HELLO, error: new Error("secret") }, { logger });
  const response = await server.chat({ messages, stream: true }, { headers: { "x-request-id": "r-1" } });
  expect(response.status).toBe(200);
  const events = await eventsOf(response);
  expect(events.slice(-2)).toEqual([
    { error: expect.objectContaining({ type: "server_error", code: "VG_INTERNAL" }) },
    "[DONE]",
  ]);
  expect(JSON.stringify(events)).not.toContain("secret");
  expect(lines).toEqual([{ requestId: "r-1", err: expect.objectContaining({ message: "secret" }) }]);
});

test("a client that goes away takes its request back, while it waits and while it reads", async () => {
  const forever = new Promise<void>(() => {});
  for (const [stream, held] of [
    [false, 0],
    [true, 0],
    [true, 1],
  ] as const) {
    const before = (index: number) => (index === held ? forever : undefined);
    await using server = await serveChat({ chunks: HELLO, before });
    const controller = new AbortController();
    const call = server.chat({ messages, stream }, { signal: controller.signal });
    if (held > 0) await call;
    else call.catch(() => {});
    await until(() => server.requests.length === 1);
    expect(server.requests[0]?.signal.aborted).toBe(false);
    controller.abort();
    await until(() => server.requests[0]?.signal.aborted === true);
  }
});

test("an answer that takes too long ends: with 504, or with an event", async () => {
  const before = (index: number) => (index === 1 ? sleep(1000) : undefined);
  await using server = await serveChat({ chunks: HELLO, before }, { limits: { chatMs: 100 } });
  expect(await errorOf(await server.chat({ messages }))).toMatchObject({
    status: 504,
    code: "VG_DEADLINE_EXCEEDED",
  });
  const events = await eventsOf(await server.chat({ messages, stream: true }));
  expect(events.at(-2)).toMatchObject({ error: { code: "VG_DEADLINE_EXCEEDED" } });
});

test("an answer may take longer than encoding, and is not cut", async () => {
  const before = (index: number) => (index === 1 ? sleep(2000) : undefined);
  const limits = { receiveMs: 1000, encodeMs: 1000, sendMs: 1000, chatMs: 60_000 };
  await using server = await serveChat({ chunks: HELLO, before }, { limits });
  expect((await server.chat({ messages })).status).toBe(200);
});

test("a stream of a slow model is not cut, whether it writes nothing or a tool call that is held back", async () => {
  const call = ['<tool_call>{"name": "we', 'ather", "argu', 'ments": {}}', "</tool_call>"];
  const chunks = [...HELLO, ...call.map((text) => ({ text }))];
  await using server = await serveChat({ chunks, before: () => sleep(250) }, { limits: { sendMs: 200 } });
  const tools = [{ type: "function", function: { name: "weather" } }];
  const events = await eventsOf(await server.chat({ messages, tools, stream: true }));
  expect(events.at(-2)).toMatchObject({ choices: [{ finish_reason: "tool_calls" }] });
  expect(events.at(-1)).toBe("[DONE]");
});

test("a stream that nobody reads is cut, and its memory comes back", async () => {
  const text = "x".repeat(1 << 16);
  const chunks = Array.from({ length: 400 }, () => ({ text }));
  // 100 tokens of 100 bytes: one answer fits.
  const limits = { sendMs: 300, maxRequestMemoryBytes: 15_000 };
  const headers = { authorization: `Bearer ${KEY}` };
  let meanwhile: number | undefined;
  // Before the first chunk, since the time of an unread stream begins with it.
  const before = async () => {
    if (meanwhile !== undefined) return;
    meanwhile = 0;
    meanwhile = (await server.chat({ messages }, { headers })).status;
  };
  await using server = await serveChat({ chunks, before }, { limits, apiKeys: [KEY] });
  const body = JSON.stringify({ messages, stream: true });
  const socket = connect(server.port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: ${headers.authorization}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  socket.pause();
  await until(() => server.requests[0]?.signal.aborted === true);
  expect(meanwhile).toBe(429);
  socket.destroy();
  expect((await server.chat({ messages }, { headers })).status).toBe(200);
});

test("each key is a caller, and a body above the limit is refused", async () => {
  const limits = { maxBodyBytes: 2000 };
  await using server = await serveChat({ chunks: HELLO }, { apiKeys: [KEY, OTHER_KEY], limits });
  expect((await server.chat({ messages })).status).toBe(401);
  for (const key of [KEY, OTHER_KEY])
    await server.chat({ messages }, { headers: { authorization: `Bearer ${key}` } });
  expect(server.requests.map(({ caller }) => caller)).toEqual(["key 0", "key 1"]);
  const large = { messages: [{ role: "user", content: "x".repeat(3000) }] };
  const headers = { authorization: `Bearer ${KEY}` };
  expect((await server.chat(large, { headers })).status).toBe(413);
});

test("/metrics has chats by state, their tokens and the time to the first", async () => {
  const metrics = await EngineMetrics.create();
  await using server = await serveChat({ chunks: HELLO }, { metrics });
  await server.chat({ messages });
  await eventsOf(await server.chat({ messages, stream: true }));
  const text = await (await fetch(`${server.url}/metrics`)).text();
  for (const line of [
    'vitgraph_chat_requests{state="waiting"} 1',
    'vitgraph_chat_requests{state="running"} 2',
    'vitgraph_chat_tokens_total{kind="prompt"} 40',
    'vitgraph_chat_tokens_total{kind="image"} 16',
    'vitgraph_chat_tokens_total{kind="cached"} 10',
    'vitgraph_chat_tokens_total{kind="completion"} 4',
    'vitgraph_chat_first_token_seconds_bucket{le="0.025"} 0',
    'vitgraph_chat_first_token_seconds_bucket{le="0.05"} 2',
  ])
    expect(text).toContain(`${line}\n`);
});

test("the models and /openapi.json have the chat; without an engine there is no route", async () => {
  const get = async (url: string) => (await (await fetch(url)).json()) as never;
  await using server = await serveChat({}, { chatModelName: "talks" });
  expect(await get(`${server.url}/v1/models`)).toMatchObject({
    data: [
      { id: "tiny", output_columns: [8, 8] },
      { id: "talks", max_model_len: 100 },
    ],
  });
  const api: { paths: Record<string, { post: { requestBody: object; responses: object } }> } = await get(
    `${server.url}/openapi.json`,
  );
  const { post } = api.paths["/v1/chat/completions"]!;
  expect(post.requestBody).toMatchObject({
    content: { "application/json": { schema: { properties: { messages: { minItems: 1 } } } } },
  });
  expect(post.responses).toMatchObject({ 200: { content: { "text/event-stream": {} } } });
  await using one = await serveChat({}, { chatModelName: "tiny" });
  expect(await get(`${one.url}/v1/models`)).toMatchObject({
    data: [{ id: "tiny", output_columns: [8, 8], max_model_len: 100 }],
  });
  await using without = await serve({ engine: opened.engine });
  const absent = await without.chat({ messages });
  expect(absent.status).toBe(404);
  expect(((await absent.json()) as { error: { message: string } }).error.message).toBe(
    "the server has no language model: start it with a chat engine (vitgraph serve --llm)",
  );
});
