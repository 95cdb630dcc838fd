import type { LookupAddress } from "node:dns";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createSocketServer, type LookupFunction } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type FetchOptions, fetchUrl } from "./fetch-url.js";

const PUBLIC = "93.184.216.34";
const image = Buffer.from("image bytes");

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A web server on loopback, and a network that connects every address to it. */
async function web(listener: RequestListener, names: Readonly<Record<string, string | readonly string[]>>) {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const resolved: string[] = [];
  const dialled: string[] = [];
  const network: NonNullable<FetchOptions["network"]> = {
    async resolve(host) {
      resolved.push(host);
      const turn = resolved.filter((name) => name === host).length - 1;
      const answers = [names[host] ?? []].flat();
      return answers.map(
        (address): LookupAddress => ({ address: address.split("|")[turn] ?? address, family: 4 }),
      );
    },
    connect(options) {
      // Like net.connect: a literal address is used directly, a name is looked up.
      const host = options.hostname ?? options.host ?? "";
      const lookup = options.lookup as LookupFunction;
      if (/^[\d.]+$/.test(host)) dialled.push(host);
      else lookup(host, { all: false }, (_error, address) => dialled.push(address as string));
      return connect(port, "127.0.0.1");
    },
  };
  return { network, resolved, dialled };
}

function fetchFrom(url: string, network: FetchOptions["network"], options: Partial<FetchOptions> = {}) {
  return fetchUrl(url, {
    allowedDomains: new Set([
      "images.test",
      "other.test",
      "rebind.test",
      "2130706433",
      "127.0.0.1",
      PUBLIC,
      "[::1]",
      "[::ffff:7f00:1]",
      "images.test:8443",
    ]),
    maxBytes: 1000,
    signal: new AbortController().signal,
    onBytes: () => {},
    ...(network === undefined ? {} : { network }),
    ...options,
  });
}

const sendImage: RequestListener = (_request, response) => response.end(image);

test("an image of an allowed domain is fetched from the address that was checked", async () => {
  const { network, dialled } = await web(sendImage, { "images.test": PUBLIC });
  expect(await fetchFrom("http://images.test/a.png", network)).toEqual(image);
  expect(dialled).toEqual([PUBLIC]);
});

test("a port is fetched from where the list has it, and a name with a dot at its end is the name", async () => {
  const { network } = await web(sendImage, { "images.test": PUBLIC });
  for (const url of ["http://images.test:8443/", "http://images.test:80/", "http://images.test./"])
    expect(await fetchFrom(url, network)).toEqual(image);
  for (const url of ["http://images.test:22/", "http://images.test:443/", "http://other.test:8443/"])
    await expect(fetchFrom(url, network)).rejects.toMatchObject({ code: "VG_MEDIA_REFUSED" });
});

test("a name that rebinds after the check is dialled at the checked address", async () => {
  const { network, resolved, dialled } = await web(sendImage, { "rebind.test": `${PUBLIC}|127.0.0.1` });
  await fetchFrom("http://rebind.test/", network);
  expect(resolved).toEqual(["rebind.test"]);
  expect(dialled).toEqual([PUBLIC]);
  // The resolver's second answer is loopback.
  await expect(fetchFrom("http://rebind.test/", network)).rejects.toMatchObject({ code: "VG_MEDIA_REFUSED" });
  expect(dialled).toEqual([PUBLIC]);
});

test.each([
  ["a domain that is not allowed", "http://evil.test/"],
  ["a subdomain of an allowed one", "http://a.images.test/"],
  ["loopback", "http://127.0.0.1/"],
  ["loopback as one decimal number", "http://2130706433/"],
  ["loopback in octal", "http://0177.0.0.1/"],
  ["loopback in hexadecimal", "http://0x7f.1/"],
  ["IPv6 loopback", "http://[::1]/"],
  ["IPv4-mapped loopback", "http://[::ffff:127.0.0.1]/"],
  ["a name with a private address", "http://other.test/"],
  ["a password", "http://user:password@images.test/"],
  ["another scheme", "ftp://images.test/a.png"],
  ["file", "file:///etc/passwd"],
  ["a broken URL", "http://"],
])("%s is refused without a connection", async (_, url) => {
  const { network, dialled } = await web(sendImage, { "images.test": PUBLIC, "other.test": "10.0.0.1" });
  await expect(fetchFrom(url, network)).rejects.toMatchObject({ code: "VG_MEDIA_REFUSED" });
  expect(dialled).toEqual([]);
});

test("a name with one public and one private address is refused", async () => {
  const { network, dialled } = await web(sendImage, { "images.test": [PUBLIC, "169.254.169.254"] });
  await expect(fetchFrom("http://images.test/", network)).rejects.toMatchObject({ code: "VG_MEDIA_REFUSED" });
  expect(dialled).toEqual([]);
});

test.each([
  ["to loopback", "http://127.0.0.1/"],
  ["to a domain that is not allowed", "http://evil.test/"],
  ["to a name with a private address", "http://other.test/"],
  ["to another scheme", "file:///etc/passwd"],
  ["to a name that has rebound", "http://rebind.test/"],
])("a redirect %s is refused", async (_, location) => {
  const { network, dialled } = await web(
    (_request, response) => response.writeHead(302, { location }).end(),
    {
      "images.test": PUBLIC,
      "other.test": "192.168.0.1",
      "rebind.test": "127.0.0.1",
    },
  );
  await expect(fetchFrom("http://images.test/", network)).rejects.toMatchObject({ code: "VG_MEDIA_REFUSED" });
  expect(dialled).toEqual([PUBLIC]);
});

test("a redirect to an allowed domain is followed, each hop looked up, and not for ever", async () => {
  const listener: RequestListener = ({ url }, response) => {
    if (url === "/a.png") response.end(image);
    else response.writeHead(302, { location: url === "/" ? "http://other.test/a.png" : "/loop" }).end();
  };
  const { network, resolved } = await web(listener, { "images.test": PUBLIC, "other.test": "8.8.8.8" });
  expect(await fetchFrom("http://images.test/", network)).toEqual(image);
  expect(resolved).toEqual(["images.test", "other.test"]);
  await expect(fetchFrom("http://images.test/loop", network)).rejects.toMatchObject({
    code: "VG_MEDIA_UNAVAILABLE",
  });
});

test.each([
  ["declared", (length: number) => ({ "content-length": String(length) })],
  ["streamed", () => ({})],
])("a body above the limit is cut: %s", async (_, headers) => {
  let taken = 0;
  const { network } = await web(
    (_request, response) => response.writeHead(200, headers(5000)).end(Buffer.alloc(5000)),
    { "images.test": PUBLIC },
  );
  const fetched = fetchFrom("http://images.test/", network, {
    onBytes: (bytes) => {
      taken += bytes;
    },
  });
  await expect(fetched).rejects.toMatchObject({ code: "VG_IMAGE_TOO_LARGE" });
  expect(taken).toBeLessThanOrEqual(1000);
});

test("a status that is not 200, a compressed body and a broken connection give no image", async () => {
  const listener: RequestListener = ({ url }, response) => {
    if (url === "/gzip") response.writeHead(200, { "content-encoding": "gzip" }).end(image);
    else if (url === "/cut")
      response.writeHead(200, { "content-length": "100" }).write("x", () => response.destroy());
    else response.writeHead(404).end();
  };
  const { network } = await web(listener, { "images.test": PUBLIC });
  for (const path of ["/gzip", "/cut", "/missing"]) {
    await expect(fetchFrom(`http://images.test${path}`, network)).rejects.toMatchObject({
      code: "VG_MEDIA_UNAVAILABLE",
    });
  }
});

test("a signal ends a fetch that hangs, and a name that is never resolved", async () => {
  const { network } = await web(() => {}, { "images.test": PUBLIC });
  const signal = AbortSignal.timeout(50);
  await expect(fetchFrom("http://images.test/", network, { signal })).rejects.toMatchObject({
    code: "VG_ABORTED",
  });
  const silent = { resolve: () => new Promise<never>(() => {}) };
  await expect(
    fetchFrom("http://images.test/", silent, { signal: AbortSignal.timeout(50) }),
  ).rejects.toMatchObject({ code: "VG_ABORTED" });
});

test("an answer that switches protocols is no image, and is not waited for", async () => {
  const server = createSocketServer((socket) =>
    socket.once("data", () =>
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
    ),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const network = {
    resolve: async () => [{ address: PUBLIC, family: 4 }],
    connect: () => connect(port, "127.0.0.1"),
  };
  await expect(fetchFrom("http://images.test/", network)).rejects.toMatchObject({
    code: "VG_MEDIA_UNAVAILABLE",
    fact: "an image of images.test cannot be fetched (the connection ended without an answer)",
  });
  server.close();
});
