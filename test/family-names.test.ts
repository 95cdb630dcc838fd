/**
 * Sources outside a family's folder name no family: what differs between families is a property that the family declares.
 * Exceptions are the registries and each host's table of the models that it supports. Tests and docs may name any.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const PACKAGES = fileURLToPath(new URL("../packages", import.meta.url));
const MODELS = "core/src/models";

/** Extended by a new family's name; `llama` alone is llama.cpp. */
const NAMES =
  /qwen|gemma|glm|internvl|kimi|pixtral|mistral|ministral|llava|lfm2|llama-?4|hunyuan|paddle|idefics|smolvlm|minicpm|exaone|qianfan|dots.?m?ocr|ernie|lighton|granite|cohere|command.?a.?vision|aya.?vision|minimax.?m3|muse[-_]?glimmer|step[-_]?(3|robotics)/i;

const TABLES = [
  `${MODELS}/index.ts`,
  `${MODELS}/architectures.ts`,
  // What vLLM compiles and captures, and whose embeddings it takes by their grid.
  "config/src/encoder-support.ts",
  "server/src/grid-models.ts",
  "llama-cpp/src/families.ts",
  "transformers/src/supported-models.ts",
];

const SOURCES = readdirSync(PACKAGES)
  .flatMap((name) => ["src", "native", "page"].map((folder) => join(name, folder)))
  .flatMap((folder) => filesOf(folder))
  .filter(
    (path) => /\.(ts|js|mjs|cc|cu|cuh|h|py|html|css)$/.test(path) && !/\.test\.ts$|\/testing\//.test(path),
  );

function filesOf(folder: string): readonly string[] {
  try {
    return readdirSync(join(PACKAGES, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(PACKAGES.length + 1));
  } catch {
    return [];
  }
}

const inFamily = (path: string) => path.startsWith(`${MODELS}/`) && path.split("/").length > 4;

const naming = SOURCES.filter((path) => !inFamily(path)).filter((path) =>
  NAMES.test(path + readFileSync(join(PACKAGES, path), "utf8")),
);

test("no source outside a family's folder names a family, but the tables", () => {
  expect(naming.filter((path) => !TABLES.includes(path))).toEqual([]);
});

test("each of the tables is there, and names families", () => {
  expect(TABLES.filter((path) => !naming.includes(path))).toEqual([]);
});

test("each family's folder has one of the names", () => {
  const folders = readdirSync(join(PACKAGES, MODELS), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  expect(folders.map(({ name }) => name).filter((name) => !NAMES.test(name))).toEqual([]);
});
