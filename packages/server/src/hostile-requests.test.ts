/**
 * Hostile requests, one a row, over real connections to one server: each gets its status, and the server then answers a good
 * request and holds no memory of the hostile one.
 */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, open, rm, symlink, writeFile } from "node:fs/promises";
import { createServer as createWebServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync, gzipSync } from "node:zlib";
import { pngChunk, selfPointingExif, zeroPng } from "@vitgraph/core/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  dataUrl,
  openTestEngine,
  png,
  sendRaw,
  serve,
  type TestEngine,
  type TestServer,
} from "../test/serve.js";

const PUBLIC = "93.184.216.34";
const KEY = "a-key-of-the-test-0123456789";

let opened: TestEngine;
let server: TestServer;
let hasty: TestServer;
let web: Server;
let directory: string;
let image: Buffer;
/** Addresses that the server connected to. */
const dialled: string[] = [];
let answersOfRebinding = 0;

/** Names and their addresses. All of them are allowed, as by an operator who trusts them. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  "images.test": [PUBLIC],
  "private.test": ["10.0.0.1"],
  "mixed.test": [PUBLIC, "192.168.0.1"],
  "metadata.test": ["169.254.169.254"],
  "loopback.test": ["127.0.0.1"],
  "mapped.test": ["::ffff:10.0.0.1"],
  "nat64.test": ["64:ff9b::a00:1"],
  "unique-local.test": ["fd00::1"],
  "zone.test": ["fe80::1%eth0"],
  "empty.test": [],
  localhost: ["127.0.0.1", "::1"],
};
const ALLOWED = [
  ...Object.keys(NAMES),
  ...["rebinding.test", "unknown.test", "127.0.0.1", "0.0.0.0", "169.254.169.254", "10.0.0.1", "100.64.0.1"],
  ...["[::1]", "[::]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]"],
  ...["[2001:0:7f00:1::]", "[fe80::1]", "[fd00::1]", "[ff02::1]", "[::7f00:1]"],
];

const listener: RequestListener = ({ url = "/" }, response) => {
  const location = /^\/to\?(.*)$/.exec(url)?.[1];
  if (location !== undefined) {
    response.writeHead(302, location === "" ? {} : { location: decodeURIComponent(location) }).end();
  } else if (url === "/a.png") response.end(image);
  else if (url === "/loop") response.writeHead(301, { location: "/loop" }).end();
  else if (url === "/large") response.end(Buffer.alloc(LIMITS.maxImageBytes + 1));
  else if (url === "/gzip") response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(image));
  else if (url === "/short") {
    response.writeHead(200, { "content-length": "100" }).write("x", () => response.destroy());
  } else if (url === "/headers") response.writeHead(200, { "x-a": "b".repeat(40_000) }).end(image);
  else if (url === "/upgrade") response.socket?.end("HTTP/1.1 101 Switching Protocols\r\nupgrade: a\r\n\r\n");
  else if (url === "/nonsense") response.socket?.end("nonsense\r\n\r\n");
  else if (url === "/drip") {
    const timer = setInterval(() => response.write("x"), 20);
    response.once("close", () => clearInterval(timer));
  } else if (url !== "/silent") response.writeHead(404).end();
};

const LIMITS = {
  maxBodyBytes: 200_000,
  maxImageBytes: 50_000,
  maxResponseBytes: 100_000,
  fetchMs: 2000,
};
/** The limit of the server for requests that never end. The other server has the default, since a test machine may be slow. */
const HASTY_RECEIVE_MS = 1500;

beforeAll(async () => {
  opened = await openTestEngine();
  image = await png(16, 8);
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  const root = join(directory, "images");
  await mkdir(join(root, "inside"), { recursive: true });
  await mkdir(join(directory, "images-2"));
  for (const path of ["secret", "images-2/a.png", "images/a.png"])
    await writeFile(join(directory, path), image);
  await writeFile(join(root, "empty.png"), "");
  await using sparse = await open(join(root, "sparse.png"), "w");
  await sparse.truncate(2 ** 40);
  await symlink(join(directory, "secret"), join(root, "link.png"));
  await symlink(directory, join(root, "up"));
  await symlink("/dev/zero", join(root, "zero.png"));
  await symlink("/proc/self/environ", join(root, "environ.png"));
  await symlink("loop.png", join(root, "loop.png"));
  execFileSync("mkfifo", [join(root, "pipe.png")]);
  const socket = createSocketServer().listen(join(root, "socket.png"));
  await once(socket, "listening");
  // The file stays.
  socket.unref();

  web = createWebServer(listener);
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  const { port } = web.address() as AddressInfo;
  server = await serve({
    engine: opened.engine,
    metrics: opened.metrics,
    allowedMediaDomains: ALLOWED,
    allowedLocalMediaPath: root,
    limits: LIMITS,
    network: {
      async resolve(host) {
        const turn = host === "rebinding.test" ? answersOfRebinding++ : 0;
        if (host === "unknown.test") throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
        const addresses =
          host === "rebinding.test" ? [turn === 0 ? PUBLIC : "127.0.0.1"] : (NAMES[host] ?? []);
        return addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
      },
      connect(options) {
        const host = options.hostname ?? options.host ?? "";
        const record = (address: string) => dialled.push(address);
        if (/^[\d.]+$/.test(host)) record(host);
        else options.lookup?.(host, { all: false }, (_error, address) => record(address as string));
        return connect(port, "127.0.0.1");
      },
    },
  });
  hasty = await serve({ engine: opened.engine, limits: { ...LIMITS, receiveMs: HASTY_RECEIVE_MS } });
});
afterAll(async () => {
  web.closeAllConnections();
  web.close();
  await hasty[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await opened[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

/** The status that was answered; "cut" for a connection that was closed without an answer. */
type Outcome = number | "cut";

async function statusOf(request: string | Buffer, port = server.port): Promise<Outcome> {
  const answer = await sendRaw(port, request);
  const final = answer.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, "");
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(final)?.[1];
  if (status === undefined) return answer === "" ? "cut" : Number.NaN;
  // The answer has no body but the error object. Node itself answers an unknown Expect.
  if (status !== "417") expect(JSON.parse(final.slice(final.indexOf("{")))).toHaveProperty("error.code");
  return Number(status);
}

/** A request as bytes; `close` so that the answer ends. */
function post(body: string | Buffer, headers: Readonly<Record<string, string>> = {}): Buffer {
  const all = {
    host: "localhost",
    connection: "close",
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([
    Buffer.from(`POST /v1/embeddings HTTP/1.1\r\n${lines.join("")}\r\n`),
    Buffer.from(body),
  ]);
}

const json = (value: unknown) => post(JSON.stringify(value));
const source = (input: string) => json({ input });
const head = (...lines: readonly string[]) =>
  `${["POST /v1/embeddings HTTP/1.1", "host: localhost", "connection: close", ...lines].join("\r\n")}\r\n\r\n`;
const jsonHead = (...lines: readonly string[]) => head("content-type: application/json", ...lines);
const chunked = (text: string) => jsonHead("transfer-encoding: chunked") + text;
const form = (body: string | Buffer, type = "multipart/form-data; boundary=b") =>
  post(body, { "content-type": type });
const part = (headers: string, content: string) => `--b\r\n${headers}\r\n\r\n${content}\r\n`;
const file = (content = "x") => part('content-disposition: form-data; name="image"; filename="a"', content);
const field = (name: string, value: string) => part(`content-disposition: form-data; name="${name}"`, value);

type Row = readonly [name: string, request: () => string | Buffer, expected: Outcome];

const HOSTS: readonly Row[] = [
  ...[
    "http://evil.test/",
    "http://a.images.test/",
    "http://images.test.evil.test/",
    "http://evil.test/#images.test",
    "http://evil.test/?images.test",
    "http://evil.test\\@images.test/",
    "http://images.test@evil.test/",
    "http://user:password@images.test/a.png",
    "http://images.test:22/",
    "http://images.test:443/",
    "http://127.0.0.1/",
    "http://127.0.0.1./",
    "http://127.1/",
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://0x7f.1/",
    "http://0x7f000001/",
    "http://①②⑦.⓪.⓪.①/",
    "http://１２７.0.0.1/",
    "http://0.0.0.0/",
    "http://0/",
    "http://10.0.0.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b:1::127.0.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fd00::1]/",
    "http://[ff02::1]/",
    "http://localhost/",
    "http://private.test/",
    "http://mixed.test/",
    "http://metadata.test/",
    "http://loopback.test/",
    "http://mapped.test/",
    "http://nat64.test/",
    "http://unique-local.test/",
    "http://zone.test/",
    "ftp://images.test/a.png",
    "gopher://images.test/_GET",
    "ws://images.test/",
    "blob:http://images.test/a.png",
    "javascript:alert(1)",
    "http://",
    "http://[::1",
    "//images.test/a.png",
    `http://images.test/${"a".repeat(9000)}`,
  ].map((url): Row => [`the URL ${url.slice(0, 60)}`, () => source(url), 403]),
  ...[
    "http://127.0.0.1/",
    "//127.0.0.1/",
    "http://metadata.test/",
    "http://evil.test/",
    "http://user:password@images.test/a.png",
    "http://images.test:22/",
    "https://[::ffff:127.0.0.1]/",
    "file:///etc/passwd",
    "gopher://images.test/",
    "data:image/png;base64,AAAA",
  ].map((url): Row => {
    const redirect = `http://images.test/to?${encodeURIComponent(url)}`;
    return [`a redirect to ${url}`, () => source(redirect), 403];
  }),
  ...[
    "/to?",
    "/loop",
    "/gzip",
    "/short",
    "/headers",
    "/upgrade",
    "/nonsense",
    "/drip",
    "/silent",
    "/missing",
  ].map((path): Row => [`the URL images.test${path}`, () => source(`http://images.test${path}`), 400]),
  ["a fetched file above the limit", () => source("http://images.test/large"), 413],
  ["a URL with a line feed", () => source("http://images.test/\r\nx-a: b"), 400],
  ["a name without an address", () => source("http://empty.test/"), 400],
  ["a name that does not exist", () => source("http://unknown.test/"), 400],
];

const PATHS: readonly Row[] = [
  ...[
    "../secret",
    "inside/../../secret",
    "/etc/passwd",
    "/proc/self/environ",
    "/proc/self/root/etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "../images-2/a.png",
    "link.png",
    "up/secret",
    "up/images-2/a.png",
    "zero.png",
    "environ.png",
    "",
    ".",
    "inside/..",
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "file://host/etc/passwd",
    "file:///%2e%2e/etc/passwd",
    "file:///a%2f..%2fb",
    "/..//etc/passwd",
  ].map((path): Row => [`the path ${path}`, () => source(path), 403]),
  ...[
    "inside",
    "pipe.png",
    "socket.png",
    "loop.png",
    "empty.png",
    "missing.png",
    "a.png/b",
    "a.png\0.jpg",
    "%2e%2e/secret",
    "..\\secret",
    "~/secret",
    "$HOME",
    "a".repeat(5000),
    "\ud800",
  ].map((path): Row => [`the path ${JSON.stringify(path).slice(0, 40)}`, () => source(path), 400]),
  ["a file of a terabyte", () => source("sparse.png"), 413],
];

const HTTP: readonly Row[] = [
  ["a request line without a version", () => "GET /\r\n\r\n", 400],
  ["HTTP/3.0", () => "GET /health HTTP/3.0\r\nhost: localhost\r\n\r\n", 400],
  ["the preface of HTTP/2", () => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
  ["the start of TLS", () => Buffer.from("16030100a5010000a10303", "hex"), 400],
  ["a method that does not exist", () => "STEAL /health HTTP/1.1\r\nhost: localhost\r\n\r\n", 400],
  ["CONNECT", () => "CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: localhost\r\n\r\n", "cut"],
  ["TRACE", () => "TRACE /v1/embeddings HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 404],
  [
    "a proxy's request",
    () => "GET http://169.254.169.254/latest HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    404,
  ],
  [
    "a path that cannot be decoded",
    () => "GET /%zz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    400,
  ],
  [
    "a path with ..",
    () => "GET /../../etc/passwd HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    404,
  ],
  ["a path of 20 kB", () => `GET /${"a".repeat(20_000)} HTTP/1.1\r\nhost: localhost\r\n\r\n`, 431],
  [
    "a header of 20 kB",
    () => `GET /health HTTP/1.1\r\nhost: localhost\r\na: ${"b".repeat(20_000)}\r\n\r\n`,
    431,
  ],
  [
    "5000 headers",
    () => `GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${"a:\r\n".repeat(5000)}\r\n`,
    431,
  ],
  ["a header with a null", () => "GET /health HTTP/1.1\r\nhost: localhost\r\na: b\0c\r\n\r\n", 400],
  [
    "a header with a line feed alone",
    () => "GET /health HTTP/1.1\r\nhost: localhost\na: b\rc: d\r\n\r\n",
    400,
  ],
  ["a folded header", () => jsonHead("x-a: b", " content-length: 2"), 400],
  ["a space before a colon", () => jsonHead("transfer-encoding : chunked"), 400],
  ["no host", () => "GET /health HTTP/1.1\r\nconnection: close\r\n\r\n", 400],
  ["two hosts", () => head("host: other"), 400],
  [
    "a host with a user",
    () => "GET /v1/models HTTP/1.1\r\nhost: a@localhost\r\nconnection: close\r\n\r\n",
    400,
  ],
  [
    "a host with a path",
    () => "GET /v1/models HTTP/1.1\r\nhost: localhost/a\r\nconnection: close\r\n\r\n",
    400,
  ],
  [
    "a name that was rebound to loopback",
    () => "GET /v1/models HTTP/1.1\r\nhost: evil.test\r\nconnection: close\r\n\r\n",
    421,
  ],
  [
    "two content types",
    () => jsonHead("content-type: multipart/form-data; boundary=b", "content-length: 0"),
    400,
  ],
  ["two lengths", () => `${jsonHead("content-length: 1", "content-length: 2")}{}`, 400],
  ["a length twice", () => `${jsonHead("content-length: 2", "content-length: 2")}{}`, 400],
  ["a list of lengths", () => `${jsonHead("content-length: 2, 2")}{}`, 400],
  ["a negative length", () => jsonHead("content-length: -1"), 400],
  ["a length with a sign", () => `${jsonHead("content-length: +2")}{}`, 400],
  ["a hexadecimal length", () => `${jsonHead("content-length: 0x2")}{}`, 400],
  ["a length of 10^30", () => jsonHead(`content-length: 1${"0".repeat(30)}`), 400],
  [
    "a length and chunks",
    () => `${jsonHead("content-length: 4", "transfer-encoding: chunked")}0\r\n\r\n`,
    400,
  ],
  [
    "chunks and a length",
    () => `${jsonHead("transfer-encoding: chunked", "content-length: 4")}0\r\n\r\n`,
    400,
  ],
  [
    "chunks that are not the last coding",
    () => `${jsonHead("transfer-encoding: chunked, identity")}0\r\n\r\n`,
    400,
  ],
  ["an unknown transfer coding", () => `${jsonHead("transfer-encoding: xchunked")}0\r\n\r\n`, 400],
  ["a chunk's size that is no number", () => chunked("zz\r\n"), 400],
  ["a negative chunk", () => chunked("-1\r\n{}\r\n0\r\n\r\n"), 400],
  ["a chunk of 2^68 bytes", () => chunked(`${"f".repeat(17)}\r\n{}`), 400],
  ["a chunk longer than its size", () => chunked("1\r\n{}\r\n0\r\n\r\n"), 400],
  ["a chunk's extension of 20 kB", () => chunked(`2;${"a".repeat(20_000)}\r\n{}\r\n0\r\n\r\n`), 413],
  ["a trailer of 20 kB", () => chunked(`2\r\n{}\r\n0\r\na: ${"b".repeat(20_000)}\r\n\r\n`), 431],
  ["chunks above the limit", () => chunked(`${`3e8\r\n${" ".repeat(1000)}\r\n`.repeat(300)}0\r\n\r\n`), 413],
  ["chunks that never end", () => chunked("1\r\n{\r\n"), 408],
  ["a body that never comes", () => jsonHead("content-length: 1000"), 408],
  ["headers that never end", () => "POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\nx-a: b", 408],
  [
    "an upgrade",
    () =>
      "GET /v1/embeddings HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n",
    404,
  ],
  [
    "an upgrade to HTTP/2",
    () =>
      `${head("upgrade: h2c", "http2-settings: AAMAAABk", "content-length: 2", "content-type: application/json")}{}`,
    400,
  ],
  [
    "an Expect for a body above the limit",
    () => jsonHead("expect: 100-continue", "content-length: 999999"),
    413,
  ],
  ["an unknown Expect", () => jsonHead("expect: 200-ok", "content-length: 2"), 417],
];

const BODIES: readonly Row[] = [
  ...["gzip", "br", "deflate", "gzip, identity", "identity, gzip", "x"].map(
    (encoding): Row => [
      `a body in the encoding ${encoding}`,
      () => post(gzipSync(Buffer.alloc(100_000_000)), { "content-encoding": encoding }),
      415,
    ],
  ),
  ...[
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/xml",
    "application/jsonx",
    "",
    "image/png",
  ].map((type): Row => [`a body of the type "${type}"`, () => post("{}", { "content-type": type }), 415]),
  ["JSON above the limit", () => source("a".repeat(LIMITS.maxBodyBytes)), 413],
  ["lists 100 000 deep", () => post(`{"input":${"[".repeat(100_000)}`), 400],
  ["objects 20 deep", () => post(`{"input":${'{"a":'.repeat(20)}1${"}".repeat(20)}}`), 400],
  ["150 000 values", () => post(`{"input":[${"1,".repeat(99_000)}1]}`), 400],
  ["60 000 empty lists", () => post(`{"input":[${"[],".repeat(60_000)}1]}`), 400],
  ["20 000 members", () => post(`{${Array.from({ length: 15_000 }, (_, at) => `"${at}":1`).join()}}`), 400],
  ["an empty body", () => post(""), 400],
  ["white space", () => post(" ".repeat(100_000)), 400],
  ["half of JSON", () => post('{"input": "secret'), 400],
  ["JSON and more", () => post('{"input":"data:"}{}'), 400],
  ["a comment", () => post('{"input":"data:"/**/}'), 400],
  ["NaN", () => post('{"input":NaN}'), 400],
  ["a number of 100 000 digits", () => post(`{"input":${"9".repeat(100_000)}}`), 400],
  ["1e999", () => post('{"input":1e999}'), 400],
  ["a byte that is not UTF-8", () => post(Buffer.from('{"input":"\xff.png"}', "latin1")), 400],
  [
    "UTF-16",
    () =>
      post(Buffer.from('{"input":"a"}', "utf16le"), { "content-type": "application/json; charset=utf-16" }),
    400,
  ],
  ["an overlong slash", () => post(Buffer.from('{"input":"..\xc0\xafsecret"}', "latin1")), 400],
  ["null", () => post("null"), 400],
  ["a list in the place of the body", () => post("[]"), 400],
  ["text in the place of the body", () => post('"input"'), 400],
  ["__proto__", () => post('{"input":"a.png","__proto__":{"a":1}}'), 400],
  ["__proto__ of an image", () => post('{"input":{"image":"a.png","__proto__":{"image_url":"b"}}}'), 400],
  ["constructor", () => post('{"input":"a.png","constructor":{"prototype":{}}}'), 400],
  ["the same member twice, the second one wrong", () => post('{"input":"a.png","input":3}'), 400],
  ["an unknown member", () => json({ input: "a.png", dimensions: 4 }), 400],
  ...[
    null,
    true,
    3,
    {},
    [],
    [[]],
    [["a.png"]],
    [1, 2, 3],
    { image: 1 },
    { image_url: {} },
    { url: "a.png" },
  ].map((input): Row => [`the input ${JSON.stringify(input)}`, () => json({ input }), 400]),
  ["65 images", () => json({ input: Array(65).fill("a.png") }), 400],
  ["a model that is a number", () => json({ input: "a.png", model: 3 }), 400],
  ["a model that is a path", () => json({ input: "a.png", model: "../../etc" }), 404],
  ["an encoding that does not exist", () => json({ input: "a.png", encoding_format: "int8" }), 400],
  [
    "an encoding that is an object",
    () => json({ input: "a.png", encoding_format: { toString: "float" } }),
    400,
  ],
  ["an answer that the server does not have", () => post('{"input":"a.png"}', { accept: "image/png" }), 406],
  ["an Accept of 10 kB", () => post('{"input":"a.png"}', { accept: "a/b,".repeat(2500) }), 406],
];

const FORMS: readonly Row[] = [
  ["a form without a boundary", () => form("x", "multipart/form-data"), 400],
  ["a form with an empty boundary", () => form("x", 'multipart/form-data; boundary=""'), 400],
  ["a boundary of 10 kB", () => form("x", `multipart/form-data; boundary=${"b".repeat(10_000)}`), 400],
  ["an empty form", () => form(""), 400],
  ["a form that is not one", () => form("x".repeat(100_000)), 400],
  ["a form that has just an end", () => form("--b--"), 400],
  [
    "a form that ends in a part's header",
    () => form('--b\r\ncontent-disposition: form-data; name="image"'),
    400,
  ],
  ["a form that ends in a file", () => form(file().slice(0, -2)), 400],
  ["another multipart", () => form(`${file()}--b--`, "multipart/mixed; boundary=b"), 415],
  [
    "a part with 10 000 headers",
    () =>
      form(
        `${part(`${"a: b\r\n".repeat(10_000)}content-disposition: form-data; name="image"; filename="a"`, "x")}--b--`,
      ),
    400,
  ],
  [
    "a part with a header of 100 kB",
    () =>
      form(
        `${part(`x-a: ${"b".repeat(100_000)}\r\ncontent-disposition: form-data; name="image"; filename="a"`, "x")}--b--`,
      ),
    400,
  ],
  [
    "a file's name of 100 kB",
    () =>
      form(
        `${part(`content-disposition: form-data; name="image"; filename="${"a".repeat(100_000)}"`, "x")}--b--`,
      ),
    400,
  ],
  ["a part without a disposition", () => form(`${part("content-type: image/png", "x")}--b--`), 400],
  ["65 files", () => form(`${file().repeat(65)}--b--`), 413],
  ["1000 fields", () => form(`${field("model", "tiny").repeat(1000)}${file()}--b--`), 413],
  ["a field of 100 kB", () => form(`${field("model", "a".repeat(100_000))}${file()}--b--`), 413],
  ["an unknown field", () => form(`${field("dtype", "f32")}${file()}--b--`), 400],
  ["a nested field", () => form(`${field("model[a][b]", "tiny")}${file()}--b--`), 400],
  ["a field __proto__", () => form(`${field("__proto__", "tiny")}${file()}--b--`), 400],
  ["a field constructor", () => form(`${field("constructor", "tiny")}${file()}--b--`), 400],
  [
    "a file __proto__",
    () => form(`${part('content-disposition: form-data; name="__proto__"; filename="a"', "x")}--b--`),
    400,
  ],
  [
    "a field as JSON that is broken",
    () =>
      form(
        `${part('content-disposition: form-data; name="model"\r\ncontent-type: application/json', "{")}${file()}--b--`,
      ),
    400,
  ],
  ["an image as a field", () => form(`${field("image", "x")}--b--`), 400],
  ["an empty file", () => form(`${file("")}--b--`), 400],
  ["a file that is not an image", () => form(`${file("x")}--b--`), 400],
  ["a file above the limit", () => form(`${file("x".repeat(LIMITS.maxImageBytes + 1))}--b--`), 413],
  [
    "files above the body's limit",
    () =>
      `${head("content-type: multipart/form-data; boundary=b", "transfer-encoding: chunked")}${chunksOf(`${file("x".repeat(40_000)).repeat(6)}--b--`)}`,
    413,
  ],
  [
    "a form that never ends",
    () => `${head("content-type: multipart/form-data; boundary=b", "content-length: 1000")}--b\r\n`,
    408,
  ],
  [
    "a form in gzip",
    () =>
      post(gzipSync(`${file()}--b--`), {
        "content-type": "multipart/form-data; boundary=b",
        "content-encoding": "gzip",
      }),
    415,
  ],
];

const IMAGES: readonly Row[] = [
  ...[
    "data:",
    "data:,",
    "data:image/png,AAAA",
    "data:image/png;base64",
    "data:image/png;base64,",
    "data:image/png;base64,====",
    "data:image/png;base64,A",
    "data:image/png;base64,AAAA AAAA",
    "data:image/png;base64,%41%41%41%41",
    "data:image/png;base64,AA=A",
    `data:${"a".repeat(100_000)};base64,AAAA`,
    "data:text/html;base64,PHNjcmlwdD4=",
  ].map((url): Row => [`the data URL ${url.slice(0, 40)}`, () => source(url), 400]),
  ["a data URL above an image's limit", () => source(dataUrl(Buffer.alloc(LIMITS.maxImageBytes + 1))), 413],
  ["a PNG header of 10 gigapixels", () => source(dataUrl(hugePng(100_000, 100_000))), 413],
  ["a PNG header of 2^62 pixels", () => source(dataUrl(hugePng(2 ** 31 - 1, 2 ** 31 - 1))), 413],
  ["a PNG of no pixels", () => source(dataUrl(hugePng(0, 0))), 400],
  [
    "a PNG 10 000 × 1",
    () =>
      source(dataUrl(zeroPng({ width: 10_000, height: 1, bitDepth: 8, colourType: 2, interlaced: false }))),
    400,
  ],
  [
    "a PNG that ends in its data",
    () =>
      source(dataUrl(zeroPng({ width: 64, height: 64, bitDepth: 8, colourType: 2, interlaced: false }, 40))),
    400,
  ],
  ["a JPEG header of 4 gigapixels", () => source(dataUrl(jpegHeader(65_535, 65_535))), 413],
  ["a GIF header of 4 gigapixels", () => source(dataUrl(gifHeader(65_535, 65_535))), 413],
  ["EXIF that refers to itself, and no image", () => source(dataUrl(selfPointingExif(3000))), 400],
  [
    "an SVG with an entity",
    () =>
      source(
        dataUrl(
          Buffer.from(
            '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg"><text>&b;</text></svg>',
          ),
        ),
      ),
    400,
  ],
  [
    "an SVG that fetches",
    () =>
      source(
        dataUrl(
          Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1/"/></svg>'),
        ),
      ),
    400,
  ],
  ["a TIFF", () => source(dataUrl(Buffer.from("II*\0\x08\0\0\0", "latin1"))), 400],
  ["a PDF", () => source(dataUrl(Buffer.from("%PDF-1.7\n"))), 400],
  [
    "an ImageMagick script",
    () => source(dataUrl(Buffer.from('push graphic-context\nfill "url(https://127.0.0.1/|id)"'))),
    400,
  ],
];

/** The PNG's header says one size, and its data is a few bytes. */
function hugePng(width: number, height: number): Buffer {
  const fields = Buffer.alloc(13);
  fields.writeUInt32BE(width, 0);
  fields.writeUInt32BE(height, 4);
  fields.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    pngChunk("IHDR", fields),
    pngChunk("IDAT", deflateSync(Buffer.alloc(100))),
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

function jpegHeader(width: number, height: number): Buffer {
  const frame = Buffer.from("ffd8ffc0001108000000000301220002110103110100ffda", "hex");
  frame.writeUInt16BE(height, 7);
  frame.writeUInt16BE(width, 9);
  return Buffer.concat([frame, Buffer.alloc(1000)]);
}

function gifHeader(width: number, height: number): Buffer {
  const screen = Buffer.from("GIF89a\0\0\0\0\0\0\0", "latin1");
  screen.writeUInt16LE(width, 6);
  screen.writeUInt16LE(height, 8);
  const frame = Buffer.from("2c0000000000000000000002024401003b", "hex");
  frame.writeUInt16LE(width, 5);
  frame.writeUInt16LE(height, 7);
  return Buffer.concat([screen, frame]);
}

function chunksOf(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
}

const ROWS = [...HOSTS, ...PATHS, ...HTTP, ...BODIES, ...FORMS, ...IMAGES];

test("the table has at least 80 rows, each of another name", () => {
  expect(ROWS.length).toBeGreaterThan(80);
  expect(new Set(ROWS.map(([name]) => name)).size).toBe(ROWS.length);
});

test.concurrent.for(ROWS)("%s", async ([, request, expected], { expect: expectHere }) => {
  const { port } = expected === 408 ? hasty : server;
  expectHere(await statusOf(request(), port)).toBe(expected);
  expectHere((await server.embed({ input: dataUrl(image) })).status).toBe(200);
});

test("afterwards no memory is held, and no connection went to an address that is not public", async () => {
  const held = async () =>
    /^vitgraph_http_request_memory_bytes (\d+)$/m.exec(
      await (await fetch(`${server.url}/metrics`)).text(),
    )?.[1];
  await expect.poll(held).toBe("0");
  expect(new Set(dialled)).toEqual(new Set([PUBLIC]));
});

test("a name that rebinds is fetched once from its public address, and refused when it has become loopback", async () => {
  answersOfRebinding = 0;
  expect((await server.embed({ input: "http://rebinding.test/a.png" })).status).toBe(200);
  expect(await statusOf(source("http://rebinding.test/a.png"))).toBe(403);
  answersOfRebinding = 1;
  const redirect = `http://images.test/to?${encodeURIComponent("http://rebinding.test/a.png")}`;
  expect(await statusOf(source(redirect))).toBe(403);
  expect(new Set(dialled)).toEqual(new Set([PUBLIC]));
});

test.each([
  ["none", []],
  ["a wrong one", ["authorization: Bearer wrong-key-0123456789"]],
  ["the key as another scheme", [`authorization: Basic ${KEY}`]],
  ["the key behind another", [`authorization: Bearer wrong, Bearer ${KEY}`]],
  ["the key in the query", []],
  ["a key of 10 kB", [`authorization: Bearer ${"a".repeat(10_000)}`]],
])("with keys, a request with %s is refused with 401 before its body", async (_, lines) => {
  await using keyed = await serve({ engine: opened.engine, apiKeys: [KEY] });
  const request = jsonHead(...lines, "content-length: 1000").replace(
    "embeddings",
    `embeddings?api_key=${KEY}`,
  );
  expect(await statusOf(request, keyed.port)).toBe(401);
});

test("with keys, two Authorization headers are refused", async () => {
  await using keyed = await serve({ engine: opened.engine, apiKeys: [KEY] });
  const lines = [`authorization: Bearer ${KEY}`, "authorization: Bearer other-key-0123456789"];
  expect(await statusOf(jsonHead(...lines, "content-length: 1000"), keyed.port)).toBe(400);
});
