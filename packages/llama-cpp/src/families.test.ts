/** The table of models in docs/llama-cpp.md against the families. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ggufFamily, promptFamily } from "./families.js";

const PAGE = readFileSync(new URL("../../../docs/llama-cpp.md", import.meta.url), "utf8");
const [, section = ""] = PAGE.split("\n## Models\n");
const ROWS = [...section.split("\n## ")[0]!.matchAll(/^\| .* \| (`.*`) \| (.*) \|$/gm)].slice(1);
const MODELS = ROWS.flatMap(([, types = "", converter = ""]) =>
  [...types.matchAll(/`(\w+)`/g)].map(([, type]) => ({ type, byVitgraph: converter === "`vitgraph gguf`" })),
);

const isGiven = (find: () => unknown) => {
  try {
    return find() !== undefined;
  } catch {
    return false;
  }
};

test.each(MODELS)("$type has a chat, and a converter if its row says so", ({ type, byVitgraph }) => {
  expect(isGiven(() => promptFamily(type))).toBe(true);
  expect(isGiven(() => ggufFamily("m", { model_type: type }))).toBe(byVitgraph);
});

test("the table has every model that is supported", () => {
  const types = MODELS.map(({ type }) => type).join(", ");
  expect(() => promptFamily("bert")).toThrow(`supported: ${types}`);
});
