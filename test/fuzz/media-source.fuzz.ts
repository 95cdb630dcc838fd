/**
 * URLs and paths of images, with names that resolve to any addresses and redirects to any place. No connection goes to an
 * address that is not public, no file is read but those below the allowed directory, and a refusal has a code.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import fc from "fast-check";
import { openFuzzServer } from "./fuzz-server.js";
import type { FuzzTarget } from "./fuzz-target.js";

const directory = mkdtempSync(join(tmpdir(), "vitgraph-fuzz-"));
process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
const root = join(directory, "images");
mkdirSync(join(root, "inside"), { recursive: true });
writeFileSync(join(directory, "secret"), "secret");
writeFileSync(join(root, "inside", "a.png"), "image");
symlinkSync(directory, join(root, "up"));
symlinkSync("inside", join(root, "same"));

const HOSTS = ["a.test", "b.test"];
let addresses: readonly (readonly string[])[] = [];
let redirects: string[] = [];
let dialled: string[] = [];
const post = await openFuzzServer({
  allowedMediaDomains: HOSTS,
  allowedLocalMediaPath: root,
  limits: { maxImageBytes: 64, fetchMs: 2000 },
  network: {
    async resolve(host) {
      const found = addresses[HOSTS.indexOf(host)] ?? [];
      return found.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
    },
    connect({ host, hostname, lookup }) {
      const name = hostname ?? host ?? "";
      // As net.connect does: a literal address is dialled, a name is looked up.
      if (isIP(name) !== 0) dialled.push(name);
      else lookup?.(name, { all: false }, (_, address) => dialled.push(address as string));
      return webServer();
    },
  },
});

/** A peer that redirects while there are redirects, and then sends an image. */
function webServer(): Duplex {
  const location = redirects.shift();
  const answer =
    location === undefined
      ? "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nimage"
      : `HTTP/1.1 302 Found\r\nlocation: ${location.replaceAll(/[^\x20-\x7e]/g, "")}\r\ncontent-length: 0\r\n\r\n`;
  const socket = new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      socket.push(answer);
      socket.push(null);
      done();
    },
  });
  return socket;
}

const byte = fc.nat({ max: 255 });
const EDGES = [
  "127.0.0.1",
  "10.0.0.1",
  "169.254.169.254",
  "172.16.0.1",
  "172.32.0.1",
  "192.168.1.1",
  "100.64.0.1",
  "8.8.8.8",
];
const ipv4 = fc.oneof(
  fc.tuple(byte, byte, byte, byte).map((bytes) => bytes.join(".")),
  fc.constantFrom(...EDGES),
);
const group = fc.oneof(
  fc.constantFrom("0", "1", "ffff", "7f00", "fe80", "fc00", "2001", "db8", "2002", "64", "ff9b"),
  fc.nat({ max: 65_535 }).map((value) => value.toString(16)),
);
const ipv6 = fc.oneof(
  fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(":")),
  fc.tuple(group, group).map(([first, last]) => `${first}::${last}`),
  fc.tuple(fc.constantFrom("::ffff:", "::", "64:ff9b::", "2002::"), ipv4).map((pieces) => pieces.join("")),
);
const address = fc.oneof(ipv4, ipv6, fc.constantFrom("fe80::1%eth0", "127.1", "0x7f.1", "localhost", ""));

const piece = fc.oneof(
  fc.constantFrom("http://", "https://", "file://", "HTTP://", "//", "/", "..", ".", "@", ":", "#", "?", "%2e", "%2f", "\\", "\0", "\t", "\n"),
  fc.constantFrom("a.test", "b.test", "A.TEST", "a.test.", "[::1]", "127.0.0.1", "2130706433", "0x7f.1", "inside", "a.png", "up", "same", "secret", directory, root),
  fc.constantFrom("80", "443", "22", "localhost", "①", "。"),
  fc.string({ unit: "binary", maxLength: 3 }),
); // biome-ignore format: a table
const source = fc.oneof(
  fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join("")),
  fc.constantFrom("http://a.test/", "http://b.test/a", "inside/a.png", "same/a.png"),
);

/** By number, apart from the server's lists of blocks. Undefined for text that is no address. */
function isPublic(text: string): boolean {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(text)) {
    const [a = 0, b = 0, c = 0] = text.split(".").map(Number);
    if (a === 0 || a === 10 || a === 127 || a >= 224) return false;
    if ((a === 100 && b >= 64 && b < 128) || (a === 169 && b === 254) || (a === 172 && b >= 16 && b < 32))
      return false;
    if (a === 192 && (b === 168 || (b === 0 && (c === 0 || c === 2)) || (b === 88 && c === 99))) return false;
    return !(
      (a === 198 && (b === 18 || b === 19 || (b === 51 && c === 100))) ||
      (a === 203 && b === 0 && c === 113)
    );
  }
  const host = URL.canParse(`http://[${text}]/`) ? new URL(`http://[${text}]/`).hostname : "";
  const first = Number.parseInt(host.slice(1).split(":")[0] || "0", 16);
  const second = Number.parseInt(host.slice(1).split(":")[1] || "0", 16);
  if (host === "" || first < 0x2000 || first > 0x3fff || first === 0x2002) return false;
  return !(
    (first === 0x2001 && (second < 0x200 || second === 0xdb8)) ||
    (first === 0x3fff && second < 0x1000)
  );
}

const REFUSALS: readonly number[] = [400, 403, 413];

export default {
  name: "media-source",
  property: fc.asyncProperty(
    source,
    fc.tuple(fc.array(address, { maxLength: 3 }), fc.array(address, { maxLength: 2 })),
    fc.array(source, { maxLength: 3 }),
    async (input, names, locations) => {
      addresses = names;
      redirects = [...locations];
      dialled = [];
      const body = JSON.stringify({ input });
      const { status, images } = await post({ headers: { "content-type": "application/json" }, body });
      const reached = dialled.find((to) => !isPublic(to));
      if (reached !== undefined) throw new Error(`a connection to ${reached}`);
      if (status !== 200) return REFUSALS.includes(status);
      const isData = /^data:/i.test(input);
      if (!isData && images[0]?.toString() !== "image") throw new Error(`read ${images[0]}`);
      return true;
    },
  ),
} satisfies FuzzTarget;
