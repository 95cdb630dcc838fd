/** The live page's routes, without a browser; page/page.test.ts has one. */
import { setTimeout as sleep } from "node:timers/promises";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { errorOf, openTestEngine, png, serve, type TestEngine } from "../../test/serve.js";
import { createServer } from "../create-server.js";
import type { LiveMessage, PageState } from "../page/page-state.js";
import { RecentTraffic } from "../page/recent-traffic.js";

const KEY = "a-key-of-the-test-0123456789";
const traffic = new RecentTraffic();
const compilationConfig = { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [16, 64] };

let opened: TestEngine;
beforeAll(async () => {
  opened = await openTestEngine({ observers: [traffic], compilationConfig });
  for (const side of [16, 20]) await opened.engine.encode([{ image: await png(side, side) }]);
});
afterAll(() => opened[Symbol.asyncDispose]());

const open = (options: { readonly apiKeys?: readonly string[] } = {}) =>
  serve({ engine: opened.engine, page: { traffic, compilationConfig }, ...options });

async function* messages(response: Response): AsyncGenerator<LiveMessage> {
  const events = (response.body as ReadableStream<Uint8Array<ArrayBuffer>>)
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) yield JSON.parse(data) as LiveMessage;
}

test("a stream goes on beyond the time of other requests", async () => {
  await using server = await serve({
    engine: opened.engine,
    page: { traffic, compilationConfig },
    limits: { receiveMs: 100, encodeMs: 100, sendMs: 100 },
  });
  const startedAt = performance.now();
  for await (const _ of messages(await fetch(`${server.url}/page/events`)))
    if (performance.now() - startedAt > 1000) break;
  expect(performance.now() - startedAt).toBeGreaterThan(1000);
});

test("the files come with a strict policy, and with 304 when they have not changed", async () => {
  await using server = await open();
  for (const [path, type] of [
    ["/", "text/html; charset=utf-8"],
    ["/page/main.js", "text/javascript; charset=utf-8"],
    ["/page/page.css", "text/css; charset=utf-8"],
    ["/page/licenses.txt", "text/plain; charset=utf-8"],
  ] as const) {
    const first = await fetch(server.url + path, { headers: { "accept-encoding": "identity" } });
    expect(first.status).toBe(200);
    const headers = Object.fromEntries(first.headers);
    expect(headers).toMatchObject({
      "content-type": type,
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
    });
    const policy = headers["content-security-policy"] as string;
    expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    const etag = headers.etag as string;
    const again = await fetch(server.url + path, { headers: { "if-none-match": etag } });
    expect([again.status, await again.text()]).toEqual([304, ""]);
    const zipped = await fetch(server.url + path, { headers: { "accept-encoding": "gzip" } });
    expect(zipped.headers.get("content-encoding")).toBe("gzip");
    expect(await zipped.text()).toBe(await first.text());
  }
});

test("no path leads to other files", async () => {
  await using server = await open();
  for (const name of ["nothing.js", "..%2findex.js", "%2e%2e%2findex.js", "..", "%00", "__proto__"]) {
    const response = await fetch(`${server.url}/page/${name}`);
    expect([name, response.status >= 400 || response.url === `${server.url}/`]).toEqual([name, true]);
    expect(await response.text()).not.toContain("createServer");
  }
});

test("with keys the files are open, and the data is not", async () => {
  await using server = await open({ apiKeys: [KEY] });
  for (const path of ["/", "/page/main.js"]) expect((await fetch(server.url + path)).status).toBe(200);
  for (const path of ["/page/state", "/page/events", "/page/%73tate"]) {
    expect(await errorOf(await fetch(server.url + path))).toMatchObject({
      status: 401,
      code: "VG_API_KEY_INVALID",
    });
  }
  const headers = { authorization: `Bearer ${KEY}` };
  expect((await fetch(`${server.url}/page/state`, { headers })).status).toBe(200);
});

test("the state has budgets, config and sizes", async () => {
  await using server = await open();
  const state = (await (await fetch(`${server.url}/page/state`)).json()) as PageState;
  expect(state).toEqual({
    model: "tiny",
    hasChat: false,
    tokenBudgets: [16, 64],
    compilationConfig,
    lintFacts: {},
    sizes: [
      { tokens: 16, weight: 1 },
      { tokens: 25, weight: 1 },
    ],
  });
});

test("the first message has the last batches, and the next ones have those that ended since", async () => {
  await using server = await open();
  const reader = messages(await fetch(`${server.url}/page/events`));
  const first = (await reader.next()).value as LiveMessage;
  expect(first).toMatchObject({
    state: "ready",
    batches: [
      { number: 1, items: 1, tokens: 16, budget: 16, outcome: "ok" },
      { number: 2, items: 1, tokens: 25, budget: 64, outcome: "ok" },
    ],
    totals: { batches: 2, items: 2, tokens: 41, budgetTokens: 80, budgetedTokens: 41 },
    queue: { items: 0, tokens: 0 },
    caches: { output: null, grid: { hits: 0, misses: 2 } },
    devices: [{ state: "up", memory: { totalBytes: expect.any(Number) } }],
  });
  expect(first.times.callMs?.p50).toBeGreaterThan(0);
  expect(first.times.callMs?.p99).toBeGreaterThanOrEqual(first.times.callMs?.p50 as number);
  expect(((await reader.next()).value as LiveMessage).batches).toEqual([]);
  await opened.engine.encode([{ image: await png(80, 80) }]);
  let next: LiveMessage;
  // One that was made before the batch ended has none.
  do next = (await reader.next()).value as LiveMessage;
  while (next.batches.length === 0);
  expect(next.batches).toMatchObject([{ number: 3, tokens: 256, budget: null }]);
  await reader.return(undefined);
});

test("at most 32 pages are followed at once, and one that is closed makes room", async () => {
  await using server = await open();
  const leave = new AbortController();
  const follow = (signal: AbortSignal) => fetch(`${server.url}/page/events`, { signal });
  const others = await Promise.all(Array.from({ length: 31 }, () => follow(new AbortController().signal)));
  await follow(leave.signal);
  expect(await errorOf(await follow(new AbortController().signal))).toMatchObject({
    status: 429,
    code: "VG_QUEUE_FULL",
  });
  leave.abort();
  let status = 429;
  while (status === 429) {
    await sleep(20);
    const response = await follow(new AbortController().signal);
    status = response.status;
    await response.body?.cancel();
  }
  expect(status).toBe(200);
  for (const { body } of others) await body?.cancel();
});

test("an open page does not hold up the drain", async () => {
  const server = await open();
  const reader = messages(await fetch(`${server.url}/page/events`));
  await reader.next();
  const rest = (async () => {
    for await (const _ of reader);
  })();
  await server[Symbol.asyncDispose]();
  await rest;
});

test("without the option there is no page", async () => {
  await using server = await serve({ engine: opened.engine });
  for (const path of ["/", "/page/state", "/page/main.js"])
    expect((await fetch(server.url + path)).status).toBe(404);
});

test("an option of the page that does not exist is refused", async () => {
  const { engine } = opened;
  await expect(createServer({ engine, page: { traffic, lintFact: {} } as never })).rejects.toThrow(
    /lintFact.*lintFacts/,
  );
  await expect(createServer({ engine, page: { traffic: {} as never } })).rejects.toThrow(
    "pass a RecentTraffic",
  );
});
