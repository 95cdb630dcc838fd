/** A registry that has the packed tarballs, and sends npm and pnpm to their own registry for every other package. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename } from "node:path";

interface Packed {
  readonly manifest: { readonly name: string; readonly version: string };
  readonly bytes: Uint8Array;
}

export interface Registry extends AsyncDisposable {
  readonly url: string;
}

/**
 * @param tarballs paths with the manifest of each
 * @param upstream the registry that has the rest
 */
export async function startRegistry(
  tarballs: ReadonlyMap<string, Packed["manifest"]>,
  upstream: string,
): Promise<Registry> {
  const files = new Map<string, Packed>();
  for (const [path, manifest] of tarballs)
    files.set(basename(path), { manifest, bytes: await readFile(path) });
  const server = createServer(({ url = "/" }, response) => {
    const path = decodeURIComponent(url).slice(1);
    const tarball = files.get(path);
    if (tarball !== undefined) return response.end(tarball.bytes);
    const found = [...files].find(([, { manifest }]) => manifest.name === path);
    if (found === undefined) return response.writeHead(302, { location: new URL(url, upstream).href }).end();
    return response
      .setHeader("content-type", "application/json")
      .end(JSON.stringify(packument(...found, here())));
  });
  const here = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: here(),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** What a registry says of a package of one version. */
function packument(file: string, { manifest, bytes }: Packed, here: string): object {
  const { name, version } = manifest;
  const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  const dist = { tarball: `${here}${file}`, integrity };
  return { name, "dist-tags": { latest: version }, versions: { [version]: { ...manifest, dist } } };
}
