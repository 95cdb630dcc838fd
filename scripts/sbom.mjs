// `pnpm sbom`: what someone who installs vitgraph gets, as a CycloneDX document in out/sbom.json. The packed packages are
// installed into an empty project, so that it lists what npm would install, and nothing that only this repository uses.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, install } from "./bootstrap.mjs";
import { pack } from "./pack.mjs";
import { fail, root, run } from "./toolchain.mjs";

install();
build();
const project = mkdtempSync(join(tmpdir(), "vitgraph-sbom-"));
const tarballs = pack({
  addons: { [`${process.platform}-${process.arch}`]: join(root, "packages/cuda-kernels/build/Release") },
  out: join(project, "packages"),
});
writeFileSync(join(project, "package.json"), '{ "name": "vitgraph", "version": "0.1.0", "private": true }\n');
const npm = { cwd: project, shell: process.platform === "win32" };
if (run("npm", ["install", "--no-audit", "--no-fund", "--silent", ...tarballs], npm) !== 0) {
  fail("the packages could not be installed: see above.");
}
const { status, stdout, stderr } = spawnSync("npm", ["sbom", "--sbom-format=cyclonedx", "--omit=dev"], {
  ...npm,
  encoding: "utf8",
  maxBuffer: 2 ** 28,
});
if (status !== 0) fail(`npm could not list what is installed:\n${stderr}`);
rmSync(project, { recursive: true });
mkdirSync(join(root, "out"), { recursive: true });
writeFileSync(join(root, "out/sbom.json"), stdout);
console.log(`out/sbom.json: ${JSON.parse(stdout).components.length} components`);
