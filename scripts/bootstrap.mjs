// Installs and builds what is missing. Quick when nothing changed: the install is skipped while the lock file and the
// manifests are the same, and turbo keeps the rest.
//
// `npm start` installs and builds the command line and what it is made of. The host engines that tests run (llama.cpp,
// transformers.js: some 500 MB) are dependencies of other packages, and come with every other command.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkNode, fail, pnpm, root } from "./toolchain.mjs";

const STAMP = join(root, "node_modules", ".vitgraph-installed");

const ROOT = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
/** The packages that the root package depends on, each with all that it depends on. */
const APP = Object.keys(ROOT.dependencies);

/** @param appOnly leaves out packages that the command line does not depend on */
export function install({ appOnly = false } = {}) {
  checkNode();
  const fingerprint = fingerprintOfManifests();
  const stamp = existsSync(STAMP) ? readFileSync(STAMP, "utf8") : "";
  const wanted = `${fingerprint}${appOnly ? " app" : ""}`;
  // Whoever has everything has the app.
  if (stamp === wanted || stamp === fingerprint) return;
  console.log("Installing dependencies…");
  const frozen = process.env.CI ? ["--frozen-lockfile"] : [];
  const filter = appOnly ? [ROOT.name, ...APP].map((name) => `--filter=${name}...`) : [];
  if (pnpm(["install", "--reporter=append-only", "--loglevel=info", ...filter, ...frozen]) !== 0) {
    fail("the dependencies could not be installed: see the messages above; a registry must be reachable.");
  }
  mkdirSync(join(root, "node_modules"), { recursive: true });
  writeFileSync(STAMP, wanted);
}

export function build({ appOnly = false } = {}) {
  console.log("Building (the native part takes a minute or two the first time; with nvcc, some ten more)…");
  const filter = appOnly ? APP.map((name) => `--filter=${name}...`) : [];
  if (pnpm(["exec", "turbo", "run", "build", ...filter]) !== 0) {
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
    "test/hosts/package.json",
    "test/install/package.json",
    "benchmarks/package.json",
    "examples/package.json",
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
