/** What the build script says when it cannot build. That it builds is shown by every other test of this package. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const script = fileURLToPath(new URL("../scripts/build-native.mjs", import.meta.url));
let buildFolder: string;
beforeAll(() => {
  buildFolder = mkdtempSync(join(tmpdir(), "vitgraph-build-"));
});
afterAll(() => rmSync(buildFolder, { recursive: true }));

function build(environment: Readonly<Record<string, string>>) {
  const env = { ...process.env, VITGRAPH_BUILD_FOLDER: buildFolder, ...environment };
  const { status, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8", env });
  return { status, stderr };
}

test.runIf(process.platform === "linux")("without compiler and cmake: one sentence with the remedy", () => {
  expect(build({ PATH: "/nowhere", CXX: "" })).toEqual({
    status: 1,
    stderr:
      "the native build needs cmake (3.18 or newer) and a C++20 compiler (g++ 11 or clang 14, or newer), which were not found: " +
      "run `apt-get install g++ cmake make` (Debian, Ubuntu) or `dnf install gcc-c++ cmake make` (Fedora, RHEL)\n",
  });
});

test("a failure ends with the log's tail and its place", () => {
  const { status, stderr } = build({ VITGRAPH_CMAKE_ARGS: "-DCMAKE_CXX_COMPILER=/nowhere/compiler" });
  expect(status).toBe(1);
  const log = join(buildFolder, "build.log");
  expect(stderr.trimEnd().split("\n").at(-1)).toBe(
    `the native build failed while configuring: the whole log is in ${log}`,
  );
  expect(stderr).toContain("/nowhere/compiler");
  expect(readFileSync(log, "utf8")).toContain("/nowhere/compiler");
});
