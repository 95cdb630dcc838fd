// What a fresh clone needs before anything can be built, and the package manager that the repository pins.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

/** Ends the process with one sentence that says what is missing and what to do. */
export function fail(message) {
  console.error(`\nvitgraph: ${message}`);
  process.exit(1);
}

export function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(`Node ${process.versions.node} is too old: install Node 20.19 or newer.`);
  }
}

// Building must not report to anybody.
process.env.TURBO_TELEMETRY_DISABLED = "1";

/** Runs a command in the repository, its output shown; returns its exit code. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (error !== undefined) fail(`cannot run ${command} (${error.message}): check that it is installed.`);
  return status ?? 1;
}

/**
 * The pinned pnpm: the one on the path if it is that version, otherwise fetched by npm from the registry that this
 * machine uses. Nothing is installed globally.
 */
export function pnpm(args, options = {}) {
  const pinned = manifest.packageManager.split("@")[1];
  const found = spawnSync("pnpm", ["--version"], {
    cwd: root,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (found.status === 0 && found.stdout.trim() === pinned) return run("pnpm", args, options);
  const npm = process.env.npm_execpath;
  const command = ["exec", "--yes", `--package=pnpm@${pinned}`, "--", "pnpm", ...args];
  const environment = { ...process.env, npm_config_loglevel: "error" };
  return npm?.endsWith(".js")
    ? run(process.execPath, [npm, ...command], { ...options, env: environment })
    : run("npm", command, { ...options, env: environment, shell: process.platform === "win32" });
}
