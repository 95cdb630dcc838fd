// `pnpm --filter vitgraph-vscode package`: bundles the extension and packs it as out/vitgraph-vscode-<version>.vsix, for
// "Install from VSIX" or `code --install-extension`. npm fetches vsce for it: an installation of its own would add some hundred
// packages to the repository.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("..", import.meta.url));
const root = join(folder, "..", "..");
const out = join(root, "out");
const staged = join(out, "vscode");
/** Packages whose code is in the bundle. */
const BUNDLED = ["jsonc-parser", "yaml"];

function run(script, args, cwd) {
  const { status } = spawnSync(process.execPath, [script, ...args], { cwd, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

/** The folder of an installed package; `from` is a folder of one that depends on it. */
function packageFolder(name, from = folder) {
  let at = dirname(createRequire(join(from, "package.json")).resolve(name));
  while (!readdirSync(at).includes("package.json") || manifestOf(at).name !== name) at = dirname(at);
  return at;
}

const manifestOf = (at) => JSON.parse(readFileSync(join(at, "package.json"), "utf8"));

function licenceOf(at) {
  const { name, version } = manifestOf(at);
  const file = readdirSync(at).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`${name} has no licence file: add its text`);
  return `${name} ${version}\n\n${readFileSync(join(at, file), "utf8").trim()}\n`;
}

const tsup = join(packageFolder("tsup", root), manifestOf(packageFolder("tsup", root)).bin.tsup);
for (const at of [join(root, "packages", "errors"), join(root, "packages", "config"), folder])
  run(tsup, [], at);

rmSync(staged, { recursive: true, force: true });
mkdirSync(join(staged, "dist"), { recursive: true });
// What only the repository needs would have vsce look for it.
const { private: _, type, scripts, devDependencies, ...manifest } = manifestOf(folder);
writeFileSync(join(staged, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
copyFileSync(join(folder, "README.md"), join(staged, "README.md"));
for (const name of ["LICENSE", "NOTICE"]) copyFileSync(join(root, name), join(staged, name));
copyFileSync(join(folder, "dist", "extension.cjs"), join(staged, "dist", "extension.cjs"));
const configFolder = join(root, "packages", "config");
writeFileSync(
  join(staged, "THIRD-PARTY-LICENSES.txt"),
  BUNDLED.map((name) => licenceOf(packageFolder(name, configFolder))).join("\n---\n\n"),
);

const vsix = join(out, `${manifest.name}-${manifest.version}.vsix`);
const { status } = spawnSync(
  "npm",
  [
    ...["exec", "--yes", "--package=@vscode/vsce@4.1.0", "--"],
    ...["vsce", "package", "--no-dependencies", "--allow-missing-repository", "--out", vsix],
  ],
  { cwd: staged, stdio: "inherit", shell: process.platform === "win32" },
);
process.exit(status ?? 1);
