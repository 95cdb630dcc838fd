/** API keys: authentication, and the caller that a request counts for. */
import { createHash, timingSafeEqual } from "node:crypto";
import { VitgraphError } from "@vitgraph/errors";

export class ApiKeys {
  readonly #digests: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.#digests = keys.map(digest);
  }

  /**
   * The key's number, from 0: its name in logs. Every key's digest is compared in constant time, so that response times
   * reveal neither a partial match nor a key's length. Undefined if the server has no keys.
   * @throws VG_API_KEY_INVALID
   */
  check(authorization: string | undefined): number | undefined {
    if (this.#digests.length === 0) return undefined;
    const given = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
    if (given === undefined) throw invalid("the request has no API key");
    const wanted = digest(given);
    let found: number | undefined;
    for (const [index, key] of this.#digests.entries()) if (timingSafeEqual(key, wanted)) found = index;
    if (found === undefined) throw invalid("the API key is wrong");
    return found;
  }
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

function invalid(fact: string): VitgraphError {
  return new VitgraphError("VG_API_KEY_INVALID", fact, { remedy: "send Authorization: Bearer KEY" });
}
