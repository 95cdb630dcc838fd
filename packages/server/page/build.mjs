// Bundles the live page into a folder: index.html, page.css, ES modules, and the licenses of what they contain. The
// package's build, its tests and `pnpm bundle` run it.
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const SOURCES = fileURLToPath(new URL(".", import.meta.url));
const PACKAGE = dirname(SOURCES.replace(/\/$/, ""));
const OUTPUT = join(PACKAGE, "dist", "page");

/** Into the package's dist/page: vitest's global setup. */
export const setup = () => buildPage(OUTPUT);

/** @param {string} outdir */
export async function buildPage(outdir = OUTPUT) {
  await rm(outdir, { recursive: true, force: true });
  await mkdir(outdir, { recursive: true });
  const { metafile } = await build({
    entryPoints: [join(SOURCES, "main.ts")],
    outdir,
    absWorkingDir: PACKAGE,
    bundle: true,
    // The editor and the planner are loaded after the first picture.
    splitting: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    metafile: true,
    // The sources of the workspace's packages, so that the page is never made of a stale build.
    conditions: ["vitgraph-source"],
    logLevel: "error",
  });
  for (const name of ["index.html", "page.css", "icon.svg"])
    await copyFile(join(SOURCES, name), join(outdir, name));
  await writeFile(join(outdir, "licenses.txt"), await licensesOf(metafile));
}

/**
 * Of the packages whose code is in the bundle: their licenses ask for it.
 * @param {import("esbuild").Metafile} metafile
 */
async function licensesOf({ inputs }) {
  const folders = new Set(
    Object.keys(inputs).flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+\//.exec(path)?.[0] ?? []),
  );
  const texts = [...folders].sort().map(async (folder) => {
    const root = join(PACKAGE, folder);
    const { name, version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const file = (await readdir(root)).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file === undefined ? "" : await readFile(join(root, file), "utf8");
    return `${name} ${version}\n\n${text.trim()}\n`;
  });
  return (await Promise.all(texts)).join(`\n${"-".repeat(80)}\n\n`);
}
