/**
 * Finds llama.cpp's libraries in an npm package. Nothing is downloaded or built. Struct layouts change between releases of
 * llama.cpp, so one release is pinned, and others are rejected before any function is called.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";

/** The release of `@node-llama-cpp/*` that the binding is written for. */
export const PACKAGE_VERSION = "3.22.1";
/** llama.cpp's own version in it. */
export const LLAMA_CPP_VERSION = "0.5.0";

/** Builds by platform, the fastest first: a GPU build also runs where there is no GPU. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "linux-x64": ["linux-x64-cuda", "linux-x64-vulkan", "linux-x64"],
  "linux-arm64": ["linux-arm64"],
  "darwin-arm64": ["mac-arm64-metal"],
  "darwin-x64": ["mac-x64"],
  "win32-x64": ["win-x64-cuda", "win-x64-vulkan", "win-x64"],
  "win32-arm64": ["win-arm64"],
};

export interface LlamaLibrary {
  /** Holds the libraries of the backends too. */
  readonly directory: string;
  readonly ggmlBase: string;
  readonly ggml: string;
  readonly llama: string;
}

/**
 * @param directory a folder with the libraries. Default: that of the first installed package
 * @param from folder in which packages are looked for: the application's
 * @throws VG_BACKEND_UNAVAILABLE
 */
export function findLibrary(directory?: string, from: string = process.cwd()): LlamaLibrary {
  return libraryIn(directory ?? packageDirectory(from));
}

function packageDirectory(from: string): string {
  const platform = `${process.platform}-${process.arch}`;
  const names = PACKAGES[platform] ?? [];
  const last = names.at(-1);
  if (last === undefined) {
    throw unavailable(
      `llama.cpp has no package for ${platform}`,
      "pass the option library: a folder with a build of it",
    );
  }
  // The application's packages go first, since another version may be installed near this file.
  const bases = [pathToFileURL(join(from, "package.json")), import.meta.url];
  for (const name of names) {
    for (const base of bases) {
      const root = packageRoot(`@node-llama-cpp/${name}`, base);
      if (root === null) continue;
      checkPackageVersion(root, name);
      return join(root, "bins", name);
    }
  }
  throw unavailable(
    `llama.cpp is not installed: none of ${names.map((name) => `@node-llama-cpp/${name}`).join(", ")} was found`,
    `npm install @node-llama-cpp/${last}@${PACKAGE_VERSION}${IN_CLONE}`,
  );
}

/** npm cannot install into a clone's workspace. There llama.cpp is a dependency of one folder. */
const IN_CLONE = existsSync(new URL("../../../test/hosts/package.json", import.meta.url))
  ? "; in a clone of vitgraph: npm run build, and run from its folder test/hosts"
  : "";

function packageRoot(name: string, base: string | URL): string | null {
  try {
    // The entry point is dist/index.js; package.json is not exported.
    return dirname(dirname(createRequire(base).resolve(name)));
  } catch {
    return null;
  }
}

function checkPackageVersion(root: string, name: string): void {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version?: unknown };
  if (version === PACKAGE_VERSION) return;
  throw unavailable(
    `@node-llama-cpp/${name} is installed in version ${String(version)}, and this package calls ${PACKAGE_VERSION}`,
    `npm install @node-llama-cpp/${name}@${PACKAGE_VERSION}`,
  );
}

function libraryIn(directory: string): LlamaLibrary {
  const files = filesIn(directory);
  const find = (stem: string): string => {
    const pattern = new RegExp(`^(lib)?${stem}(\\.v?\\d+(\\.\\d+)*)?\\.(so|dylib|dll)$`);
    const file = files.find((name) => pattern.test(name));
    if (file !== undefined) return join(directory, file);
    throw unavailable(
      `${directory} has no library named ${stem}`,
      `install @node-llama-cpp/* ${PACKAGE_VERSION}, or pass a folder with a build of llama.cpp ${LLAMA_CPP_VERSION} as library`,
    );
  };
  return { directory, ggmlBase: find("ggml-base"), ggml: find("ggml"), llama: find("llama") };
}

function filesIn(directory: string): readonly string[] {
  if (!existsSync(directory)) return [];
  try {
    return readdirSync(directory);
  } catch (cause) {
    throw toVitgraphError(
      cause,
      "VG_BACKEND_UNAVAILABLE",
      `${directory} is not a folder that can be read`,
      "pass the folder of llama.cpp's libraries as library",
    );
  }
}

export function unavailable(fact: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_BACKEND_UNAVAILABLE", fact, { remedy });
}
