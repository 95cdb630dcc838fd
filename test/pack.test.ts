/** `scripts/pack.mjs --built` in a checkout of its own: what is built is packed, and nothing is installed or compiled. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const CPU_ADDON = "packages/cuda-kernels/build/Release/vitgraph_cpu.node";

let checkout: string;
beforeAll(() => {
  checkout = mkdtempSync(join(tmpdir(), "vitgraph-pack-"));
  const copy = (path: string) => cpSync(join(ROOT, path), join(checkout, path), { recursive: true });
  for (const name of ["scripts", "package.json", "LICENSE", "NOTICE"]) copy(name);
  for (const folder of readdirSync(join(ROOT, "packages"))) {
    if (!existsSync(join(ROOT, "packages", folder, "package.json"))) continue;
    copy(join("packages", folder, "package.json"));
    writeFileSync(join(checkout, "packages", folder, "README.md"), "# A package\n");
  }
  for (const path of [
    "cli/bin",
    "config/schema",
    "cuda-kernels/native",
    "cuda-kernels/cmake",
    "cuda-kernels/scripts",
  ])
    mkdirSync(join(checkout, "packages", path), { recursive: true });
  mkdirSync(join(checkout, "packages/config/schema/generated"));
  writeFileSync(join(checkout, "packages/cuda-kernels/CMakeLists.txt"), "");
});
afterAll(() => rmSync(checkout, { recursive: true }));

function pack() {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(checkout, "scripts/pack.mjs"), "--built"],
    { encoding: "utf8", cwd: checkout },
  );
  return { status, stdout, stderr };
}

test("what is not built is listed, and nothing is installed, compiled or deleted", () => {
  mkdirSync(join(checkout, "out/packages/earlier"), { recursive: true });
  const { status, stdout, stderr } = pack();
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toContain(
    "vitgraph: not built: packages/cli/dist, packages/config/dist, packages/core/dist, ",
  );
  expect(stderr).toContain(`${CPU_ADDON}. Run npm run build.`);
  expect(existsSync(join(checkout, "node_modules"))).toBe(false);
  expect(existsSync(join(checkout, "out/packages/earlier"))).toBe(true);
});

test("what is built is packed", () => {
  for (const folder of readdirSync(join(checkout, "packages"))) {
    mkdirSync(join(checkout, "packages", folder, "dist"));
    writeFileSync(join(checkout, "packages", folder, "dist/index.js"), "export {};\n");
  }
  cpSync(join(ROOT, CPU_ADDON), join(checkout, CPU_ADDON));
  const { status, stdout, stderr } = pack();
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).not.toMatch(/Installing|Building/);
  expect(stdout).toMatch(/vitgraph-core-\d+\.\d+\.\d+\.tgz: /);
  expect(stdout).toMatch(new RegExp(`vitgraph-cuda-kernels-${process.platform}-${process.arch}-\\d`));
  expect(existsSync(join(checkout, "node_modules"))).toBe(false);
}, 120_000);
