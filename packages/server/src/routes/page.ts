/**
 * The live page: its files, which need no API key, and its data, which needs one if the server has keys.
 */
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { VitgraphError } from "@vitgraph/errors";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { StatusError } from "../http-errors.js";
import type { PageState } from "../page/page-state.js";
import { type PageFile, readPageFiles } from "../page-files.js";
import { requestState } from "../request-state.js";
import type { PageOptions, ResolvedServerOptions } from "../server-options.js";

/** Routes that need no key. */
export const OPEN_PAGE_ROUTES: readonly string[] = ["/", "/page/:file"];

/** Four updates a second look live. */
const PERIOD_MS = 250;
/** The page then opens the next stream. */
const STREAM_MS = 60_000;
/** Most open pages: each takes a connection and four small messages a second. */
const MAX_VIEWERS = 32;

/** Only the server's own scripts, styles, images and connections; blob: is for images that the user chose and SVGs that the page drew. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const FILE_HEADERS = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  // Browsers revalidate each time, and get 304.
  "cache-control": "no-cache",
  vary: "accept-encoding",
} as const;

export function registerPage(
  app: FastifyInstance,
  { modelName }: ResolvedServerOptions,
  { traffic, compilationConfig, lintFacts = {} }: PageOptions,
): void {
  let reading: Promise<ReadonlyMap<string, PageFile>> | undefined;
  async function sendFile(name: string, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    // A page that is built later is found without a restart.
    reading ??= readPageFiles().catch((error: unknown) => {
      reading = undefined;
      throw error;
    });
    const file = (await reading).get(name);
    if (file === undefined) throw new StatusError(404, "the live page has no such file", "open /");
    reply.headers(FILE_HEADERS).header("etag", file.etag).type(file.type);
    if (request.headers["if-none-match"]?.includes(file.etag)) return reply.code(304).send();
    if (!/\bgzip\b/.test(request.headers["accept-encoding"] ?? "")) return reply.send(file.bytes);
    return reply.header("content-encoding", "gzip").send(file.gzipped);
  }

  const hidden = { schema: { hide: true } };
  app.get("/", hidden, (request, reply) => sendFile("index.html", request, reply));
  app.get("/page/:file", hidden, (request, reply) =>
    sendFile((request.params as { readonly file: string }).file, request, reply),
  );

  app.get("/page/state", hidden, async (_request, reply): Promise<PageState> => {
    reply.header("cache-control", "no-store");
    return {
      model: modelName,
      hasChat: app.hasRoute({ method: "POST", url: "/v1/chat/completions" }),
      tokenBudgets: traffic.tokenBudgets,
      compilationConfig: compilationConfig ?? null,
      lintFacts,
      sizes: traffic.sizes(),
    };
  });

  const closing = new AbortController();
  let viewers = 0;
  app.addHook("preClose", async () => closing.abort());

  // A HEAD request would count as a viewer for a minute.
  const events = { ...hidden, exposeHeadRoute: false, config: { answerMs: STREAM_MS + PERIOD_MS } };
  app.get("/page/events", events, async (request, reply) => {
    if (viewers >= MAX_VIEWERS) {
      throw new VitgraphError("VG_QUEUE_FULL", `${MAX_VIEWERS} live pages are open`, {
        remedy: "close one of them",
      });
    }
    viewers += 1;
    reply.raw.once("close", () => {
      viewers -= 1;
    });
    const ends = AbortSignal.any([requestState(request).signal, closing.signal]);
    const stream = Readable.from(liveEvents(ends), { objectMode: false });
    return reply
      .headers({ "cache-control": "no-store", "x-accel-buffering": "no" })
      .type("text/event-stream")
      .send(stream);
  });

  async function* liveEvents(ends: AbortSignal): AsyncGenerator<string> {
    const endsAt = performance.now() + STREAM_MS;
    let since = 0;
    while (!ends.aborted && performance.now() < endsAt) {
      const message = traffic.message(since);
      since = message.totals.batches;
      yield `data: ${JSON.stringify(message)}\n\n`;
      // A viewer that reads slowly gets fewer messages: the next one is made when the last has been taken.
      await sleep(PERIOD_MS, undefined, { signal: ends }).catch(() => {});
    }
  }
}
