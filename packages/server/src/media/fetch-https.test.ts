/** https with a certificate authority of the test's own. Skipped, with a line that says so, where openssl is not installed. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fetchUrl } from "./fetch-url.js";

const hasOpenssl = spawnSync("openssl", ["version"], { stdio: "ignore" }).status === 0;
if (!hasOpenssl) console.warn("SKIPPED: openssl is not installed, and fetching by https is not tested");

describe.skipIf(!hasOpenssl)("https", () => {
  let directory: string;
  let server: Server;
  let ca: Buffer;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
    const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: directory, stdio: "ignore" });
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority");
    openssl("req", ...key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=images.test");
    await writeFile(join(directory, "extensions"), "subjectAltName=DNS:images.test\n");
    const signed = [
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-extfile",
      "extensions",
      "-days",
      "2",
    ];
    openssl("x509", "-req", "-in", "request.pem", ...signed, "-out", "cert.pem");
    const read = (name: string) => readFile(join(directory, name));
    ca = await read("ca.pem");
    server = createServer({ cert: await read("cert.pem"), key: await read("key.pem") }, (request, response) =>
      response.end(`image for ${request.headers.host}`),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    await rm(directory, { recursive: true });
  });

  /** @param trusted authorities; undefined for those of the system */
  function fetchFrom(url: string, trusted: Buffer | undefined): Promise<Uint8Array> {
    const { port } = server.address() as AddressInfo;
    return fetchUrl(url, {
      allowedDomains: new Set(["images.test", "other.test"]),
      maxBytes: 1000,
      signal: AbortSignal.timeout(120_000),
      onBytes: () => {},
      network: {
        resolve: async () => [{ address: "93.184.216.34", family: 4 }],
        connect: ({ servername }) => {
          const authorities = trusted === undefined ? {} : { ca: trusted };
          return connect({ host: "127.0.0.1", port, servername: servername ?? "", ...authorities });
        },
      },
    });
  }

  test("an image is fetched where the certificate is of its name and of an authority that is trusted", async () => {
    const bytes = await fetchFrom("https://images.test/a.png", ca);
    expect(Buffer.from(bytes).toString()).toBe("image for images.test");
  });

  test("a certificate of another name, and one of an unknown authority, give no image", async () => {
    await expect(fetchFrom("https://other.test/a.png", ca)).rejects.toMatchObject({
      code: "VG_MEDIA_UNAVAILABLE",
      message: expect.stringContaining("ERR_TLS_CERT_ALTNAME_INVALID"),
    });
    await expect(fetchFrom("https://images.test/a.png", undefined)).rejects.toMatchObject({
      code: "VG_MEDIA_UNAVAILABLE",
      message: expect.stringMatching(/UNABLE_TO_|SELF_SIGNED/),
    });
  });
});
