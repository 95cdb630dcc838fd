import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createFakeIo } from "../testing.js";
import { expandDirectories, tensorNames } from "./encode-inputs.js";

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

describe("a directory", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "vitgraph-inputs-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  test("stands for its images, sorted; a note counts the rest", async () => {
    for (const name of ["b.PNG", "a.jpeg", "notes.txt"]) await writeFile(join(directory, name), "");
    await mkdir(join(directory, "inside"));
    const io = createFakeIo();
    const paths = await expandDirectories(["first", directory, "-"], io);
    expect(paths).toEqual(["first", join(directory, "a.jpeg"), join(directory, "b.PNG"), "-"]);
    expect(io.err).toBe(`note: ${directory}: 2 entries without an image's ending skipped\n`);
  });

  test("without images is refused", async () => {
    await expect(expandDirectories([directory], createFakeIo())).rejects.toMatchObject({
      code: "VG_ARGUMENT_INVALID",
      fact: `no image in the directory ${directory}`,
    });
  });
});
