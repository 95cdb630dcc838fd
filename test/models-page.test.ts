/** The tables of docs/models.md against the code: families, videos, smallest budgets and published sizes. */
import { readFileSync } from "node:fs";
import { ARCHITECTURES, createVisionModel, MODEL_TYPES, readVideoProcessor } from "@vitgraph/core";
import { expect, test } from "vitest";

const PAGE = readFileSync(new URL("../docs/models.md", import.meta.url), "utf8");

/** The rows of the first table under a heading, each as its cells. */
function tableUnder(heading: string): readonly (readonly string[])[] {
  const [, section = ""] = PAGE.split(`\n${heading}\n`);
  const [, , ...rows] = (/(?:^\|.*\n)+/m.exec(section)?.[0] ?? "").trimEnd().split("\n");
  return rows.map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}
const codesOf = (cell = "") => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code as string);

const FAMILIES = tableUnder("## Families");
/** Several for `llava` and `mistral3`, which are told apart by their tower or their architecture. */
const familiesOf = (modelType: string) => FAMILIES.filter(([, types]) => codesOf(types).includes(modelType));

test.each(MODEL_TYPES)("%s has a row, which says whether it takes videos", (modelType) => {
  const cells = familiesOf(modelType).map((row) => row[5] ?? "");
  const takesVideos = readVideoProcessor(undefined, modelType) !== undefined;
  // A row of several families names the one that takes videos.
  const documented = cells.map((cell) => cell === "yes" || cell.toLowerCase() === modelType);
  expect(documented).toEqual(cells.map(() => takesVideos));
  expect(cells).not.toHaveLength(0);
});

test("every row names model types that are supported", () => {
  const named = FAMILIES.flatMap(([, types]) => codesOf(types));
  expect(named.filter((type) => !["pixtral", ...MODEL_TYPES].includes(type))).toEqual([]);
});

const MODELS = Object.entries(ARCHITECTURES).map(
  ([name, config]) => ({ name, model: createVisionModel({ ...config }) }) as const,
);

test.each(MODELS)("$name: the smallest budget of its family", ({ model }) => {
  const budgets = familiesOf(model.modelType).map((row) => row[4] ?? "");
  const { minTokenBudget } = model;
  // Idefics3 and SmolVLM: "a tile", whose tokens stand in the column before. PaliGemma: "256, 1024 or 4096".
  const documented = budgets.flatMap((budget) =>
    budget === "a tile" ? minTokenBudget : budget.split(/, | or /).map(Number),
  );
  expect(documented).toContain(minTokenBudget);
});

/** `internvl3-1b`, `-2b`: a name that begins with a dash ends the first one otherwise. */
function namesOf(cell: string): readonly string[] {
  const [first = "", ...others] = codesOf(cell);
  return [first, ...others.map((name) => (name.startsWith("-") ? first.replace(/-[^-]*$/, name) : name))];
}

const SIZES = new Map(
  tableUnder("## Published sizes").flatMap(([names = "", size = "", patch = "", columns = ""]) => {
    const widths = columns.split(",");
    return namesOf(names).map(
      (name, index) => [name, { size, patch, columns: Number(widths[index] ?? widths[0]) }] as const,
    );
  }),
);

test("every published size but those of Gemma 3 and Qwen has a row, and every row one", () => {
  const expected = MODELS.map(({ name }) => name).filter((name) => !/^(qwen|gemma-3)/.test(name));
  expect([...SIZES.keys()].sort()).toEqual(expected.sort());
});

test.each(MODELS.filter(({ name }) => SIZES.has(name)))("$name: the sizes of its row", ({ name, model }) => {
  const { size, patch, columns } = SIZES.get(name)!;
  expect(columns).toBe(model.outputColumns[0]);
  expect(Number.parseInt(patch, 10)).toBe(model.processorPatchSize ?? model.patchSize);
  const { config } = model;
  const layers = config.depth ?? config.num_hidden_layers;
  const width = config.embed_dim ?? config.hidden_size;
  const heads = config.num_heads ?? config.num_attention_heads;
  const documented = [...size.matchAll(/(?:^|· )(\d+)/g)].map(([, number]) => Number(number));
  expect(documented.slice(0, 3)).toEqual(size === "none" ? [] : [layers, width, heads]);
});
