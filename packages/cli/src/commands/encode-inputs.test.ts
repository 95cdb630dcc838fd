import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { createFakeIo } from "../testing.js";
import { expandInputs, isVideoFile, readMedia, tensorNames, type UrlLimits } from "./encode-inputs.js";

// The tests may run as root, who can read every directory.
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  return { ...real, readdir: vi.fn(real.readdir) };
});

describe("tensor names", () => {
  test.each<[string, string[], string[]]>([
    ["file names", ["a/x.png", "b/y.png"], ["x.png", "y.png"]],
    [
      "paths where two files share a name",
      ["a/x.png", "b/x.png", "b/y.png"],
      ["a/x.png", "b/x.png", "y.png"],
    ],
    ["a number where a file comes twice", ["a/x.png", "a/x.png", "a/x.png"], ["x.png", "x.png#2", "x.png#3"]],
    ["a number where a name is taken", ["x.png", "x.png", "x.png#2"], ["x.png", "x.png#2", "x.png#2#2"]],
    ["a number behind the name that the format reserves", ["a/__metadata__"], ["__metadata__#2"]],
    ["stdin", ["-", "x.png"], ["stdin", "x.png"]],
    [
      "the names of URLs' paths, or their hosts",
      ["https://a.org/in/x.png?size=2", "https://a.org/", "data:image/png;base64,AAAA", "data:,B"],
      ["x.png", "a.org", "data", "data#2"],
    ],
  ])("are %s", (_, paths, names) => {
    expect(tensorNames(paths)).toEqual(names);
  });

  test("are all different, and none is reserved", () => {
    const part = fc.constantFrom("a", "b", "__metadata__", "a#2", "stdin");
    const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    fc.assert(
      fc.property(fc.array(fc.oneof(path, fc.constant("-")), { maxLength: 8 }), (paths) => {
        const names = tensorNames(paths);
        expect(new Set(names).size).toBe(paths.length);
        expect(names).not.toContain("__metadata__");
      }),
    );
  });
});

test("paths of which none exists are refused before the model is loaded; one among others fails alone", async () => {
  await expect(expandInputs(["gone.png", "lost.png"], createFakeIo())).rejects.toMatchObject({
    code: "VG_FILE_UNREADABLE",
    message: expect.stringMatching(/^cannot read gone\.png \(ENOENT.*: check the path$/),
  });
  const url = "http://127.0.0.1/a.png";
  expect(await expandInputs(["gone.png", url], createFakeIo())).toEqual(["gone.png", url]);
});

test("a URL of another scheme is named as such", async () => {
  await expect(readMedia("s3://bucket/a.png", createFakeIo())).rejects.toMatchObject({
    remedy: "give a path, or an http, https or data URL",
  });
});

describe("a directory", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "vitgraph-inputs-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  test("stands for its images, sorted; a note counts the rest", async () => {
    for (const name of ["b.PNG", "a.jpeg", "notes.txt", "._a.jpeg"])
      await writeFile(join(directory, name), "");
    await mkdir(join(directory, "inside"));
    const io = createFakeIo();
    const paths = await expandInputs(["first", directory, "-"], io);
    expect(paths).toEqual(["first", join(directory, "a.jpeg"), join(directory, "b.PNG"), "-"]);
    expect(io.err).toBe(
      `note: ${directory}: 3 skipped: hidden, or without the extension of an image or video\n`,
    );
  });

  test("that cannot be read is refused with the system's reason", async () => {
    vi.mocked(readdir).mockRejectedValueOnce(
      Object.assign(new Error(`EACCES: permission denied, scandir '${directory}'`), { code: "EACCES" }),
    );
    await expect(expandInputs([directory], createFakeIo())).rejects.toMatchObject({
      code: "VG_FILE_UNREADABLE",
      fact: expect.stringMatching(/^cannot read \S+ \(EACCES: permission denied/),
      remedy: "check the directory's permissions",
    });
  });

  test("without images is refused", async () => {
    await expect(expandInputs([directory], createFakeIo())).rejects.toMatchObject({
      code: "VG_ARGUMENT_INVALID",
      fact: `no image in the directory ${directory}`,
    });
  });
});

describe("a URL", () => {
  let server: Server;
  let origin: string;
  beforeAll(async () => {
    server = createServer(({ url }, response) => {
      if (url === "/old") response.writeHead(302, { location: "/new" }).end();
      else if (url === "/new") response.end("bytes");
      else if (url === "/cut")
        response.writeHead(200, { "content-length": 10 }).write("half", () => response.destroy());
      else if (url === "/stalled") response.writeHead(200, { "content-length": 10 }).write("half");
      else response.writeHead(404).end();
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  test("is read, through redirects", async () => {
    expect(Buffer.from(await readMedia(`${origin}/old`, createFakeIo())).toString()).toBe("bytes");
  });

  test.each([
    ["/gone", /^cannot read http.*\/gone \(the server answers 404\)$/],
    ["/cut", /^cannot read http.*\/cut \(.+\)$/],
  ])("that gives no file is refused: %s", async (path, fact) => {
    const error = await readMedia(origin + path, createFakeIo()).catch((caught) => caught);
    expect(error).toMatchObject({ code: "VG_FILE_UNREADABLE", fact: expect.stringMatching(fact) });
  });

  test("whose body is too long, or stalls, is refused", async () => {
    const read = (path: string, limits: UrlLimits) => readMedia(origin + path, createFakeIo(), limits);
    await expect(read("/new", { maxBytes: 4, idleMs: 10_000 })).rejects.toMatchObject({
      fact: expect.stringContaining("(it has more than 4 bytes)"),
    });
    await expect(read("/stalled", { maxBytes: 100, idleMs: 50 })).rejects.toMatchObject({
      fact: expect.stringContaining("(no byte for 0.05 s)"),
    });
  });

  test("of a port where nothing listens is refused with the system's reason", async () => {
    const closed = createServer().listen(0, "127.0.0.1");
    await new Promise((listening) => closed.once("listening", listening));
    const { port } = closed.address() as AddressInfo;
    await new Promise((done) => closed.close(done));
    await expect(readMedia(`http://127.0.0.1:${port}/a.png`, createFakeIo())).rejects.toMatchObject({
      fact: expect.stringContaining("ECONNREFUSED"),
    });
  });

  test("of data is its bytes, in lines too", async () => {
    for (const url of ["data:;base64,aGk=", "DATA:image/png;base64,aG\nk=\n"])
      expect(Buffer.from(await readMedia(url, createFakeIo())).toString()).toBe("hi");
  });

  test.each([
    ["data:image/png,hi", "it has no ;base64, in it"],
    ["data:", "it has no ;base64, in it"],
    ["data:image/png;base64,a*b", "its content is not base64"],
    ["data:image/png;base64,", "its content is not base64"],
    [`data:image/png;base64,${"A".repeat(1 << 20)}*`, "its content is not base64"],
  ])("of data that is not base64 is refused: %.40s", async (url, reason) => {
    await expect(readMedia(url, createFakeIo())).rejects.toMatchObject({
      code: "VG_MEDIA_UNAVAILABLE",
      fact: `a data URL cannot be read (${reason})`,
    });
  });

  test("is a video by its path's ending or its media type", () => {
    expect(
      ["https://a.org/a.mp4?sig=1", "data:video/mp4;base64,AA", "https://a.org/a?b=.mp4"].map(isVideoFile),
    ).toEqual([true, true, false]);
  });
});
