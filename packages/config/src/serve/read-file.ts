/**
 * A `--config` file: options by their long names, one of them the compilation config, as an object or as a string of
 * JSON. Other options are handed back.
 */
import { type ConfigDocument, parseJsonDocument, valueDocument } from "../document.js";
import type { Layer } from "../layers.js";
import { toPointer } from "../pointer.js";
import { isRecord, nest, show } from "../value.js";
import { type GivenSettings, SETTING_NAMES } from "./given.js";
import type { ServeArgumentsOptions } from "./types.js";

/** Reads the file that `--config` names, if any. */
export function readConfigFile(given: GivenSettings, { readFile, parseYaml }: ServeArgumentsOptions): void {
  if (given.configPath === undefined) return;
  const { path, place } = given.configPath;
  const extension = /\.(ya?ml|json)$/i.exec(path)?.[1]?.toLowerCase();
  if (extension === undefined) {
    given.problem(
      place,
      `the config file ${path} is neither YAML nor JSON by its name`,
      "a name that ends in .yaml, .yml or .json",
      "rename the file",
    );
    return;
  }
  const parse = extension === "json" ? parseJsonDocument : parseYaml;
  if (readFile === undefined || parse === undefined) {
    given.problem(
      place,
      `the config file ${path} cannot be read: this program reads ${readFile === undefined ? "no files" : "only JSON"}`,
      "a file that can be read",
      "give its compilation-config as an argument",
    );
    return;
  }
  const text = readFile(path);
  given.collecting(() => readFileOptions(parse(text, path), given));
}

/** True for a `--config` file: an object with an option named compilation-config in one of its spellings. */
export function isServeConfig(value: unknown): boolean {
  return isRecord(value) && Object.keys(value).some((key) => /^compilation[-_]config(\.|$)/.test(key));
}

export function readFileOptions(document: ConfigDocument, given: GivenSettings): void {
  // An empty YAML file is null: no options.
  if (document.value === null) return;
  if (!isRecord(document.value)) {
    given.problems.push({
      ...document.locate(""),
      pointer: "",
      message: `the config file is ${show(document.value)}, and must be a map of options`,
      expected: "a map of options",
      remedy: "write one option a line, such as compilation-config:",
    });
    return;
  }
  for (const [name, value] of Object.entries(document.value)) {
    const pointer = toPointer([name]);
    const [first = "", ...path] = name.split(".");
    const option = `--${first.replaceAll("_", "-")}`;
    if (option === "--compilation-config" && path.length === 0) {
      given.collecting(() => {
        given.layers.file.push({ rank: "file", form: "json", document: document.open(pointer) });
      });
      continue;
    }
    if (option === "--compilation-config") {
      given.layers.file.push(dottedFileLayer(document, pointer, path, value));
      continue;
    }
    const setting = SETTING_NAMES.find((known) => known === option);
    if (setting !== undefined && path.length === 0)
      given.set(setting, value, "file", document.locate(pointer, "key"));
    else given.fileOptions.set(name, value);
  }
}

/** `compilation-config.mode: 3` in a file. */
function dottedFileLayer(
  document: ConfigDocument,
  pointer: string,
  path: readonly string[],
  value: unknown,
): Layer {
  const last = path.at(-1) ?? "";
  const appends = last.endsWith("+");
  const keys = appends ? [...path.slice(0, -1), last.slice(0, -1)] : path;
  const list = typeof value === "string" ? value.split(",") : value;
  const nested = nest(keys, appends ? list : value);
  return {
    rank: "file",
    form: appends ? "append" : "dotted",
    document: { ...valueDocument(nested, document.source), locate: () => document.locate(pointer, "key") },
  };
}
