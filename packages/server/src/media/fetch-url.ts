/**
 * Fetches an image from an http(s) URL without letting the sender reach the server's own network.
 *
 * The host must be in the list of allowed domains. Its name is resolved once for each hop, every address must be public,
 * and the connection goes to those addresses: a name that resolves differently a moment later (DNS rebinding) has no
 * effect. Redirects pass the same checks. A body has a limit that holds while it streams.
 */
import { promises as dns, type LookupAddress } from "node:dns";
import http from "node:http";
import https from "node:https";
import { isIP, type LookupFunction } from "node:net";
import type { Duplex } from "node:stream";
import { describe, shorten, toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { raceAbort } from "@vitgraph/scheduler";
import { isPublicAddress } from "./public-address.js";

export interface FetchOptions {
  /** Host names in lower case, with the port unless it is the scheme's default. Subdomains are not included. */
  readonly allowedDomains: ReadonlySet<string>;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  /** Called with the size of each chunk before it is kept. May throw. */
  readonly onBytes: (bytes: number) => void;
  readonly network?: Network;
}

/** Name resolution and connections, which tests replace. */
export interface Network {
  /** All addresses of a host. */
  readonly resolve: (host: string) => Promise<readonly LookupAddress[]>;
  /** Default: the connections of node:http and node:https. For https, a TLS connection for `servername`. */
  readonly connect?: (options: http.ClientRequestArgs & { readonly servername?: string }) => Duplex;
}

const SYSTEM: Network = { resolve: (host) => dns.lookup(host, { all: true }) };

const MAX_REDIRECTS = 3;
/** Signed URLs of object stores have some 2000 characters. */
const MAX_URL_LENGTH = 8192;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/**
 * @throws VG_MEDIA_REFUSED for a URL that the server does not fetch; VG_MEDIA_UNAVAILABLE for one that gives no file;
 *   VG_IMAGE_TOO_LARGE; what `onBytes` throws
 */
export async function fetchUrl(text: string, options: FetchOptions): Promise<Uint8Array> {
  let url = parseUrl(text);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await request(url, options);
    try {
      const { statusCode = 0, headers } = response;
      if (!REDIRECTS.includes(statusCode)) return await readBody(url, response, options);
      if (headers.location === undefined)
        throw unavailable(url, `it answers ${statusCode} without a location`);
      url = parseUrl(headers.location, url);
    } finally {
      response.destroy();
    }
  }
  throw unavailable(url, `more than ${MAX_REDIRECTS} redirects`);
}

/** @param base the URL that redirects to this one, which may be relative */
function parseUrl(text: string, base?: URL): URL {
  if (text.length > MAX_URL_LENGTH)
    throw refused(`the URL has more than ${MAX_URL_LENGTH} characters`, "send the image's bytes");
  const url = URL.canParse(text, base?.href) ? new URL(text, base) : undefined;
  if (url === undefined) throw refused(`the URL ${describe(shorten(text))} is not valid`, "check it");
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw refused(`the URL has the scheme ${describe(url.protocol)}`, "use http or https");
  if (url.username !== "" || url.password !== "")
    throw refused("the URL has a user name or a password", "use a URL without them");
  return url;
}

async function request(url: URL, options: FetchOptions): Promise<http.IncomingMessage> {
  const { signal, network = SYSTEM } = options;
  const addresses = await publicAddresses(url, options);
  const { connect } = network;
  const lookup: LookupFunction = (_host, { all }, done) => {
    const [first] = addresses as [LookupAddress, ...LookupAddress[]];
    if (all === true) done(null, [...addresses]);
    else done(null, first.address, first.family);
  };
  const { Agent, request: send } = url.protocol === "https:" ? https : http;
  // One agent for each request: a pooled connection may lead to an address that another request resolved.
  const agent = new Agent();
  try {
    return await new Promise<http.IncomingMessage>((resolve, reject) => {
      const sent = send(url, {
        lookup,
        signal,
        agent: connect === undefined ? agent : Object.assign(agent, { createConnection: connect }),
        headers: { accept: "image/*", "accept-encoding": "identity", "user-agent": "vitgraph" },
      });
      sent.on("response", resolve);
      sent.on("error", reject);
      // An answer that switches protocols (101) is neither a response nor an error here.
      sent.on("close", () => reject(new Error("the connection ended without an answer")));
      sent.end();
    });
  } catch (cause) {
    throw failed(url, cause, signal);
  }
}

/** The addresses of the URL's host, all of them public. @throws VG_MEDIA_REFUSED, VG_MEDIA_UNAVAILABLE */
async function publicAddresses(
  url: URL,
  { allowedDomains, signal, network = SYSTEM }: FetchOptions,
): Promise<readonly LookupAddress[]> {
  // WHATWG URLs write IPv4 addresses of every form (decimal, octal, hexadecimal) as four decimal numbers.
  const domain = url.host.replace(/\.(?=:|$)/, "");
  if (!allowedDomains.has(domain))
    throw refused(
      `the domain ${describe(shorten(domain))} is not allowed`,
      "add it to allowedMediaDomains of the server",
    );
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
  const family = isIP(host);
  let addresses: readonly LookupAddress[];
  try {
    addresses = family === 0 ? await raceAbort(network.resolve(host), signal) : [{ address: host, family }];
  } catch (cause) {
    throw failed(url, cause, signal);
  }
  if (addresses.length === 0) throw unavailable(url, "its name has no address");
  if (!addresses.every(({ address }) => isPublicAddress(address)))
    throw refused(
      `${host} is not a public address`,
      "use a host on the public internet, or send the image's bytes",
    );
  return addresses;
}

async function readBody(
  url: URL,
  response: http.IncomingMessage,
  { maxBytes, onBytes, signal }: FetchOptions,
): Promise<Uint8Array> {
  const { statusCode, headers } = response;
  if (statusCode !== 200) throw unavailable(url, `it answers ${statusCode}`);
  const encoding = headers["content-encoding"] ?? "identity";
  if (encoding !== "identity") throw unavailable(url, `its body is compressed (${shorten(encoding)})`);
  if (Number(headers["content-length"]) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      onBytes(chunk.length);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (VitgraphError.is(cause)) throw cause;
    throw failed(url, cause, signal);
  }
  return Buffer.concat(chunks, bytes);
}

/** @throws VG_IMAGE_TOO_LARGE */
export function tooLarge(maxBytes: number): VitgraphError {
  return new VitgraphError("VG_IMAGE_TOO_LARGE", `an image has more than ${maxBytes} bytes`, {
    remedy: "send a smaller file, or raise maxImageBytes of the server",
    details: { maxBytes },
  });
}

function refused(fact: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_MEDIA_REFUSED", fact, { remedy });
}

function unavailable({ hostname }: URL, reason: string): VitgraphError {
  return new VitgraphError("VG_MEDIA_UNAVAILABLE", `an image of ${hostname} cannot be fetched (${reason})`, {
    remedy: "check the URL, or send the image's bytes",
  });
}

/** The signal's reason when it ended the request: the deadline, or a client that disconnected. */
function failed(url: URL, cause: unknown, signal: AbortSignal): VitgraphError {
  if (signal.aborted) return toVitgraphError(signal.reason, "VG_ABORTED", "the request was cancelled");
  if (VitgraphError.is(cause)) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  return unavailable(url, code ?? message);
}
