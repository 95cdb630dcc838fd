import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeAtomically } from "./write-atomically.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
});
afterEach(() => rm(directory, { recursive: true }));

test("replaces a file, and leaves no other behind", async () => {
  const path = join(directory, "a");
  await writeFile(path, "old and longer");
  await writeAtomically(path, "new");
  expect(await readFile(path, "utf8")).toBe("new");
  expect(await readdir(directory)).toEqual(["a"]);
});

test("a write that fails leaves nothing behind, and throws the system's error", async () => {
  await mkdir(join(directory, "taken", "inside"), { recursive: true });
  await expect(writeAtomically(join(directory, "taken"), "new")).rejects.toMatchObject({ syscall: "rename" });
  expect(await readdir(directory)).toEqual(["taken"]);
});

test("writers of one file at the same time: one of their contents is there, whole", async () => {
  const path = join(directory, "a");
  const contents = Array.from({ length: 8 }, (_, index) => String(index).repeat(100_000));
  await Promise.all(contents.map((content) => writeAtomically(path, content)));
  expect(contents).toContain(await readFile(path, "utf8"));
  expect(await readdir(directory)).toEqual(["a"]);
});
