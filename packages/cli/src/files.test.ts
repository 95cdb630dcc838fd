import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  checkNewOutput,
  checkOutput,
  expandGlobs,
  inputName,
  outputPath,
  readInput,
  readTextInput,
  readTextSync,
  writeNewOutput,
  writeOutput,
} from "./files.js";
import { createFakeIo } from "./testing.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-files-"));
});
afterEach(() => rm(directory, { recursive: true }));

describe("an output", () => {
  test("replaces a file, and leaves no other behind", async () => {
    const path = join(directory, "a.json");
    await writeFile(path, "old and longer");
    await writeOutput(path, "new", createFakeIo());
    expect(await readFile(path, "utf8")).toBe("new");
    expect(await readdir(directory)).toEqual(["a.json"]);
  });

  test("that must be new replaces no file, even one that came after the check", async () => {
    const path = join(directory, "a.json");
    await checkNewOutput(path);
    await writeFile(path, "other");
    const refused = { code: "VG_FILE_UNWRITABLE", fact: `cannot write ${path} (it exists)` };
    await expect(writeNewOutput(path, "new")).rejects.toMatchObject(refused);
    await expect(checkNewOutput(path)).rejects.toMatchObject(refused);
    expect(await readFile(path, "utf8")).toBe("other");
  });

  test("that fails leaves nothing behind", async () => {
    const path = join(directory, "taken");
    await mkdir(join(path, "inside"), { recursive: true });
    await expect(writeOutput(path, "new", createFakeIo())).rejects.toMatchObject({
      code: "VG_FILE_UNWRITABLE",
    });
    expect(await readdir(directory)).toEqual(["taken"]);
  });

  test.each<[string, string, string]>([
    ["a directory that is not there", "gone/a.json", "(there is no directory DIR/gone): make it first"],
    ["a file for a directory", "file/a.json", "(DIR/file is not a directory): check the path"],
    ["a directory for a file", "taken", "(it is a directory): add a file's name"],
  ])("is refused before the work: %s", async (_, path, message) => {
    await writeFile(join(directory, "file"), "");
    await mkdir(join(directory, "taken"));
    const error = await checkOutput(join(directory, path)).catch((caught) => caught);
    expect(error.code).toBe("VG_FILE_UNWRITABLE");
    expect(error.message.replaceAll(directory, "DIR")).toBe(`cannot write DIR/${path} ${message}`);
  });

  test("that has a place is not touched by the check", async () => {
    await checkOutput(join(directory, "a.json"));
    await checkOutput(undefined);
    expect(await readdir(directory)).toEqual([]);
  });

  test.each([
    ["a.svg", true],
    ["A.SVG", true],
    ["a.png", false],
    ["svg", false],
  ])("%s is SVG by its name: %s", (path, taken) => {
    const parse = outputPath(".svg");
    if (taken) expect(parse(path)).toBe(path);
    else expect(() => parse(path)).toThrow("give a name that ends in .svg");
  });
});

test("- is standard input", async () => {
  expect(await readInput("-", createFakeIo({ stdin: "text" }), "")).toEqual(new TextEncoder().encode("text"));
  expect(inputName("-")).toBe("standard input");
});

test("a name that is a whole data URL is cut in messages", async () => {
  const url = `data:image/png;base64,${"A".repeat(100_000)}`;
  const error = await readInput(url, createFakeIo(), "check the path").catch((caught) => caught);
  expect(error.code).toBe("VG_FILE_UNREADABLE");
  expect(error.message.length).toBeLessThan(500);
});

describe("globs", () => {
  test("stand for the files that match, sorted; other paths stay, a file named like a glob too", async () => {
    await mkdir(join(directory, "in"));
    for (const name of ["b.png", "a.png", "c.txt", "[1].png", "in/d.png"])
      await writeFile(join(directory, name), "");
    const expand = async (...names: string[]) => {
      const expanded = await expandGlobs(names.map((name) => (name === "-" ? name : join(directory, name))));
      return expanded.map((path) => path.replace(`${directory}/`, ""));
    };
    expect(await expand("?.png", "gone.png", "-")).toEqual(["a.png", "b.png", "gone.png", "-"]);
    expect(await expand("**/d.{png,jpg}", "[1].png")).toEqual(["in/d.png", "[1].png"]);
    expect(await expandGlobs(["https://example.org/a?b=*"])).toEqual(["https://example.org/a?b=*"]);
  });

  test("that match nothing are refused", async () => {
    await expect(expandGlobs([join(directory, "*.gif")])).rejects.toMatchObject({
      code: "VG_FILE_UNREADABLE",
      fact: `no file matches ${join(directory, "*.gif")}`,
    });
  });
});

describe("a text file", () => {
  test("is UTF-8, with or without a byte order mark", async () => {
    const path = join(directory, "a.yaml");
    await writeFile(path, "\uFEFFé: 1\r\n");
    expect(await readTextInput(path, createFakeIo(), "")).toBe("é: 1\r\n");
  });

  test.each([
    ["UTF-16, as Windows' shell writes it", Buffer.from("\uFEFFmode: 3", "utf16le")],
    ["Latin-1", Buffer.from("# caf\xe9", "latin1")],
  ])("in %s is refused", async (_, bytes) => {
    const path = join(directory, "a.yaml");
    await writeFile(path, bytes);
    const refused = { code: "VG_FILE_UNREADABLE", fact: `${path} is not UTF-8` };
    await expect(readTextInput(path, createFakeIo(), "")).rejects.toMatchObject(refused);
    expect(() => readTextSync(path, "")).toThrow(expect.objectContaining(refused));
  });
});
