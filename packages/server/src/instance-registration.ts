/**
 * Keeps an encode instance registered at vLLM's disaggregation proxy (`--dynamic-registration`).
 *
 * The proxy keeps its list in memory and drops instances after a long outage, so registering is repeated; for a known
 * instance that changes nothing.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "@vitgraph/core/observability";
import { describe, shorten, VitgraphError } from "@vitgraph/errors";

/** The proxy, and this server as it is registered there. */
export interface InstanceRegistrationOptions {
  /** The proxy's base URL. */
  readonly proxyUrl: string;
  /** This server's base URL, as the proxy reaches it. */
  readonly instanceUrl: string;
  /** `ADMIN_API_KEY` of the proxy. */
  readonly adminKey: string;
  /** False while the server should get no requests. */
  readonly isReady: () => boolean;
  readonly logger?: Logger;
  /** Default: 10 000. */
  readonly everyMs?: number;
}

const TIMEOUT_MS = 5000;
/** Characters of a refusal in the log: FastAPI names the member that is wrong at its end. */
const MAX_ANSWER = 500;

/**
 * Checks the URLs before there is an engine, which can take minutes to load.
 * @throws VG_ARGUMENT_INVALID
 */
export function checkInstanceRegistration({
  proxyUrl,
  instanceUrl,
}: Partial<InstanceRegistrationOptions>): void {
  if (proxyUrl !== undefined) directory(proxyUrl, "proxyUrl");
  if (instanceUrl !== undefined) directory(instanceUrl, "instanceUrl");
}

/**
 * Starts registering. Disposing ends it and takes the instance off the proxy's list: do it before the server drains.
 * @throws VG_ARGUMENT_INVALID for a URL
 */
export function registerInstance(options: InstanceRegistrationOptions): AsyncDisposable {
  const { isReady, adminKey, logger, everyMs = 10_000 } = options;
  const proxy = new URL("instances", directory(options.proxyUrl, "proxyUrl"));
  const instance = directory(options.instanceUrl, "instanceUrl").href.replace(/\/$/, "");
  const ended = new AbortController();
  /** The last problem that was logged; null before the first answer. */
  let problem: string | undefined | null = null;

  const call = async (method: "POST" | "DELETE"): Promise<void> => {
    const url = new URL(proxy);
    if (method === "DELETE") url.searchParams.set("url", instance);
    const body = { role: "encode", url: instance, ec_zmq_addrs: [], dp_size: 1 };
    const response = await fetch(url, {
      method,
      headers: {
        "x-api-key": adminKey,
        ...(method === "POST" ? { "content-type": "application/json" } : {}),
      },
      ...(method === "POST" ? { body: JSON.stringify(body) } : {}),
      // A redirect would send the key to another host.
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`it answers ${response.status}: ${shorten(text, MAX_ANSWER)}`);
  };

  const register = async (): Promise<void> => {
    const failure = await call("POST").then(() => undefined, reasonOf);
    if (failure === problem) return;
    problem = failure;
    if (failure === undefined)
      logger?.info({ proxy: proxy.origin, instance }, "registered as an encode instance");
    else logger?.warn({ proxy: proxy.origin, instance, reason: failure }, "registering failed, retrying");
  };

  const loop = (async () => {
    while (!ended.signal.aborted) {
      if (isReady()) await register();
      await sleep(everyMs, undefined, { signal: ended.signal, ref: false }).catch(() => {});
    }
  })();

  return {
    async [Symbol.asyncDispose]() {
      ended.abort();
      await loop;
      // The proxy also accepts the removal of an instance that it does not list.
      const reason = await call("DELETE").then(() => undefined, reasonOf);
      if (reason !== undefined)
        logger?.warn({ proxy: proxy.origin, instance, reason }, "the proxy still lists this instance");
    },
  };
}

/** fetch's own message is "fetch failed". */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error & { readonly cause?: NodeJS.ErrnoException };
  return cause?.code ?? cause?.message ?? message;
}

/** The URL with a slash at its end, so that names resolve below it. */
function directory(text: string, name: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} is ${describe(shorten(text))}`, {
      remedy: "give an http(s) URL: http://10.0.0.1:8000",
    });
  }
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}
