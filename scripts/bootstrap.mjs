// Installs and builds what is missing. Quick when nothing changed: the install is skipped while the lock file and the
// manifests are the same, and turbo keeps the rest.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkNode, fail, pnpm, root } from "./toolchain.mjs";

const STAMP = join(root, "node_modules", ".vitgraph-installed");

export function install() {
  checkNode();
  const fingerprint = fingerprintOfManifests();
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === fingerprint) return;
  console.log("Installing dependencies…");
  const frozen = process.env.CI ? ["--frozen-lockfile"] : [];
  if (pnpm(["install", "--reporter=append-only", "--loglevel=info", ...frozen]) !== 0) {
    fail("the dependencies could not be installed: see the messages above; a registry must be reachable.");
  }
  mkdirSync(join(root, "node_modules"), { recursive: true });
  writeFileSync(STAMP, fingerprint);
}

export function build() {
  console.log("Building (the native part takes a minute the first time)…");
  if (pnpm(["exec", "turbo", "run", "build"]) !== 0) {
    fail("the build failed: see the messages above.");
  }
}

function fingerprintOfManifests() {
  const packages = readdirSync(join(root, "packages")).map((name) => join("packages", name, "package.json"));
  const files = [
    "package.json",
    "pnpm-workspace.yaml",
    "pnpm-lock.yaml",
    "test/package.json",
    "benchmarks/package.json",
  ];
  const hash = createHash("sha256").update(process.version);
  for (const file of [...files, ...packages.sort()]) {
    const path = join(root, file);
    if (existsSync(path)) hash.update(file).update(readFileSync(path));
  }
  return hash.digest("hex");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  install();
  build();
}
