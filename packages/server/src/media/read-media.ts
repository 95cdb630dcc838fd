/** Reads the bytes of an image or video that a request names: a data URL, an http(s) URL, or a path. */
import { readDataUrl } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import type { MemoryLease } from "../memory-budget.js";
import type { RequestState } from "../request-state.js";
import { fetchUrl, type Network, tooLarge } from "./fetch-url.js";
import { readLocalFile } from "./local-file.js";

export interface MediaPolicy {
  readonly allowedDomains: ReadonlySet<string>;
  /** Undefined allows no path. */
  readonly localPath: string | undefined;
  readonly maxBytes: number;
  /** Milliseconds for one URL, redirects included. */
  readonly fetchMs: number;
  readonly network?: Network;
}

/** Characters of a data URL that is decoded at once, in less than a millisecond. */
const SMALL_LENGTH = 2 ** 18;

/**
 * @param request the bytes are charged to its memory before they are read. A large data URL is decoded in one of its turns
 * @throws VG_MEDIA_REFUSED, VG_MEDIA_UNAVAILABLE, VG_IMAGE_TOO_LARGE, VG_ABORTED, VG_QUEUE_FULL
 */
export async function readMedia(
  source: string,
  policy: MediaPolicy,
  {
    memory,
    signal,
    turn,
  }: Pick<RequestState, "signal" | "turn"> & { readonly memory: Pick<MemoryLease, "take"> },
): Promise<Uint8Array> {
  const onBytes = (bytes: number) => memory.take(bytes);
  const { allowedDomains, localPath, maxBytes, fetchMs, network } = policy;
  const scheme = /^[a-z][a-z0-9+.-]*(?=:)/i.exec(source.slice(0, 32))?.[0].toLowerCase();
  if (scheme === "data") {
    if (source.length > SMALL_LENGTH) await turn();
    return readDataUrl(source, (bytes) => {
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      onBytes(bytes);
    });
  }
  if (scheme === undefined || scheme === "file")
    return readLocalFile(source, { root: localPath, maxBytes, onBytes });
  const deadline = new AbortController();
  const timer = setTimeout(() => {
    deadline.abort(
      new VitgraphError("VG_MEDIA_UNAVAILABLE", `an image was not fetched within ${fetchMs} ms`, {
        remedy: "use a faster host, or send the image's bytes",
      }),
    );
  }, fetchMs);
  try {
    const ends = AbortSignal.any([signal, deadline.signal]);
    const given = network === undefined ? {} : { network };
    return await fetchUrl(source, { allowedDomains, maxBytes, onBytes, signal: ends, ...given });
  } finally {
    clearTimeout(timer);
  }
}
