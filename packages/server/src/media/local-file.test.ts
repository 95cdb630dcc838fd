import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readLocalFile } from "./local-file.js";

let base: string;
let root: string;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "vitgraph-"));
  root = join(base, "images");
  await mkdir(join(root, "inside"), { recursive: true });
  await mkdir(join(base, "images-2"));
  await writeFile(join(base, "secret"), "secret");
  await writeFile(join(base, "images-2", "a.png"), "secret");
  await writeFile(join(root, "inside", "a.png"), "image");
  await symlink(join(base, "secret"), join(root, "link.png"));
  await symlink(base, join(root, "up"));
  await symlink(join(root, "inside"), join(root, "same"));
  execFileSync("mkfifo", [join(root, "pipe")]);
});
afterAll(() => rm(base, { recursive: true }));

function read(path: string, maxBytes = 100, given: string | undefined = root): Promise<Uint8Array> {
  return readLocalFile(path, { root: given, maxBytes, onBytes: () => {} });
}

test("a file below the directory is read: by absolute path, relative path, URL, and a link that stays inside", async () => {
  const absolute = join(root, "inside", "a.png");
  for (const path of [absolute, "inside/a.png", pathToFileURL(absolute).href, "same/a.png"])
    expect(Buffer.from(await read(path)).toString()).toBe("image");
});

test("without a directory no path is read", async () => {
  await expect(
    readLocalFile(join(root, "inside", "a.png"), { root: undefined, maxBytes: 100, onBytes: () => {} }),
  ).rejects.toMatchObject({ code: "VG_MEDIA_REFUSED" });
});

test.each([
  "../secret",
  "inside/../../secret",
  "/etc/passwd",
  "/proc/self/environ",
  "link.png",
  "up/secret",
  "../images-2/a.png",
  "file:///etc/passwd",
  "file://host/etc/passwd",
  "file:///%2e%2e/etc/passwd",
  "",
  ".",
])("%s is refused", async (path) => {
  await expect(read(path)).rejects.toMatchObject({ code: "VG_MEDIA_REFUSED" });
});

test("a path outside is refused with the same words whether it exists or not", async () => {
  const texts = await Promise.all(
    ["../secret", "../nothing"].map((path) => read(path).catch((error: Error) => error.message)),
  );
  expect(texts[0]).toBe(texts[1]);
});

test("directories, pipes, and files that do not exist give no image, at once", async () => {
  for (const path of ["inside", "pipe", "nothing.png", "a\0b"])
    await expect(read(path)).rejects.toMatchObject({ code: "VG_MEDIA_UNAVAILABLE" });
});

test("a file above the limit is not read", async () => {
  await expect(read("inside/a.png", 4)).rejects.toMatchObject({ code: "VG_IMAGE_TOO_LARGE" });
});

test("a path that is swapped for a link all the time never gives what lies outside", async () => {
  await mkdir(join(root, "swap"));
  await writeFile(join(root, "swap", "secret"), "image");
  let swapping = true;
  const swap = (async () => {
    while (swapping) {
      await rename(join(root, "swap"), join(root, "kept"));
      await symlink(base, join(root, "swap"));
      await rm(join(root, "swap"));
      await rename(join(root, "kept"), join(root, "swap"));
    }
  })();
  const outcomes = new Set<string>();
  for (let turn = 0; turn < 2000; turn++) {
    const outcome = await read("swap/secret").then(
      (bytes) => Buffer.from(bytes).toString(),
      (error: { code: string }) => error.code,
    );
    outcomes.add(outcome);
  }
  swapping = false;
  await swap;
  expect([...outcomes]).not.toContain("secret");
  expect([...outcomes]).toContain("image");
});
