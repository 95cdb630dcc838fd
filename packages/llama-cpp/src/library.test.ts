import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import Module from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { checkDefaults, loadBinding } from "./binding.js";
import { findLibrary, PACKAGE_VERSION } from "./library.js";

const NAMES: Readonly<Record<string, string>> = {
  "linux-x64": "linux-x64",
  "linux-arm64": "linux-arm64",
  "darwin-arm64": "mac-arm64-metal",
  "darwin-x64": "mac-x64",
  "win32-x64": "win-x64",
  "win32-arm64": "win-arm64",
};
const name = NAMES[`${process.platform}-${process.arch}`] as string;

const folders: string[] = [];
function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "vitgraph-llama-"));
  folders.push(folder);
  return folder;
}
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function application(version: string): string {
  const root = emptyFolder();
  const directory = join(root, "node_modules/@node-llama-cpp", name);
  mkdirSync(join(directory, "dist"), { recursive: true });
  mkdirSync(join(directory, "bins", name), { recursive: true });
  writeFileSync(join(directory, "package.json"), JSON.stringify({ version, main: "dist/index.js" }));
  writeFileSync(join(directory, "dist/index.js"), "");
  for (const file of ["libggml-base.so", "libggml.v0.5.0.so", "libllama-common.so", "libllama.v0.5.0.so"]) {
    writeFileSync(join(directory, "bins", name, file), "");
  }
  return root;
}

describe("findLibrary", () => {
  test("finds the package of the application", () => {
    const found = findLibrary(undefined, application(PACKAGE_VERSION));
    expect(found.llama).toMatch(/libllama\.v0\.5\.0\.so$/);
    expect(found.ggml).toMatch(/libggml\.v0\.5\.0\.so$/);
  });

  test("refuses another version before anything is loaded", () => {
    expect(() => findLibrary(undefined, application("3.0.0"))).toThrow(
      `@node-llama-cpp/${name} is installed in version 3.0.0, and this package calls ${PACKAGE_VERSION}: npm install @node-llama-cpp/${name}@${PACKAGE_VERSION}`,
    );
  });

  test("says what to install", () => {
    // pnpm's shims put every package of the workspace on the global path.
    vi.stubEnv("NODE_PATH", "");
    (Module as unknown as { _initPaths(): void })._initPaths();
    const empty = emptyFolder();
    expect(() => findLibrary(undefined, empty)).toThrow(
      `npm install @node-llama-cpp/${name}@${PACKAGE_VERSION}`,
    );
    // npm refuses to install into the workspace of a clone, which has llama.cpp in one folder.
    expect(() => findLibrary(undefined, empty)).toThrow(
      /; in a clone of vitgraph: npm run build, and run from its folder test\/hosts$/,
    );
  });

  test("names the folder that has no libraries", () => {
    expect(() => findLibrary("/nowhere")).toThrow("/nowhere has no library named ggml-base");
    const file = join(emptyFolder(), "libllama.so");
    writeFileSync(file, "");
    expect(() => findLibrary(file)).toThrow(`${file} is not a folder that can be read (ENOTDIR`);
  });

  test("a library of another platform is named, with the loader's reason", async () => {
    const found = findLibrary(undefined, application(PACKAGE_VERSION));
    await expect(loadBinding(found)).rejects.toMatchObject({
      code: "VG_BACKEND_UNAVAILABLE",
      message: expect.stringMatching(/libggml-base\.so cannot be loaded \(.+\): install version/),
    });
  });
});

test("a struct with another layout is refused by its defaults", () => {
  const fields = { n_ctx: ["uint32", 512], cb: ["void *", 0] } as const;
  expect(checkDefaults("llama_x", fields, { n_ctx: 512, cb: null })).toEqual({ n_ctx: 512, cb: null });
  expect(() => checkDefaults("llama_x", fields, { n_ctx: 2048, cb: null })).toThrow(
    "llama_x gives 2048 for n_ctx instead of 512: the structs of this llama.cpp have another layout",
  );
});
