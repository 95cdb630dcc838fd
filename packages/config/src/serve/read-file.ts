/**
 * A `--config` file: options by their long names, one of them the compilation config, as an object or as a string of
 * JSON. Other options are returned.
 */
import { describe, isRecord, LONGEST_PATH, shorten } from "@vitgraph/errors";
import { MAX_DEPTH } from "../bounds.js";
import { type ConfigDocument, parseJsonDocument, valueDocument } from "../document.js";
import { fixOf, rename } from "../fix.js";
import { parseHumanReadableInteger } from "../human-readable.js";
import type { Layer } from "../layers.js";
import { fromPointer, toPointer } from "../pointer.js";
import { compilationConfigSchema } from "../schema.js";
import { nest, show } from "../value.js";
import { type GivenSettings, SETTING_NAMES, type SettingName } from "./given.js";
import type { ServeArgumentsOptions } from "./types.js";
import { isServeOption, nearestOwnOption, optionName } from "./vllm-options.js";

/** Reads the file that `--config` names, if any. */
export function readConfigFile(given: GivenSettings, { readFile, parseYaml }: ServeArgumentsOptions): void {
  if (given.configPath === undefined) return;
  const { path, place } = given.configPath;
  const extension = /\.(ya?ml|json)$/i.exec(path)?.[1]?.toLowerCase();
  if (extension === undefined) {
    given.problem(
      place,
      `the config file ${shorten(path, LONGEST_PATH)} is neither YAML nor JSON by its name`,
      "a name that ends in .yaml, .yml or .json",
      "rename the file",
    );
    return;
  }
  const parse = extension === "json" ? parseJsonDocument : parseYaml;
  if (readFile === undefined || parse === undefined) {
    given.problem(
      place,
      `the config file ${shorten(path, LONGEST_PATH)} cannot be read: this program reads ${readFile === undefined ? "no files" : "only JSON"}`,
      "a file that can be read",
      "give its compilation-config as an argument",
    );
    return;
  }
  const text = readFile(path);
  given.collecting(() => readFileDocument(parse(text, path), given));
}

/** Reads a `--config` file, or a file that is itself a compilation config by its keys; a note tells so. */
export function readFileDocument(document: ConfigDocument, given: GivenSettings): void {
  if (!isBareConfig(document.value)) {
    readFileOptions(document, given);
    return;
  }
  given.note(
    { source: document.source },
    "file",
    "info",
    "the file is a compilation config itself; a --config file of vLLM has it under compilation-config",
  );
  given.layers.file.push({ rank: "file", form: "json", document });
}

/** True if some key only belongs to the compilation config, and none is only an option. A few are both: cudagraph_capture_sizes. */
function isBareConfig(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const keys = Object.keys(value);
  return keys.some((key) => isConfigKey(key) && !isServeOption(optionName(key))) && !keys.some(isOptionOnly);
}

/** True if the file has options of `vllm serve`. Keys that are neither options nor keys of the compilation config do not count. */
export function hasOptions(value: unknown): boolean {
  return isRecord(value) && Object.keys(value).some(isOptionOnly);
}

function isOptionOnly(key: string): boolean {
  if (isConfigKey(key)) return false;
  const [first = ""] = key.split(".");
  const name = optionName(first);
  return first.startsWith("-") || isServeOption(name) || nearestOwnOption(name) !== undefined;
}

function isConfigKey(key: string): boolean {
  return Object.hasOwn(compilationConfigSchema.properties ?? {}, key);
}

function readFileOptions(document: ConfigDocument, given: GivenSettings): void {
  // An empty YAML file is null: no options.
  const options = document.value ?? {};
  if (!isRecord(options)) {
    given.problem(
      document.locate(""),
      `the config file is ${show(options)}, and must be a map of options`,
      "a map of options",
      "write one option a line, such as compilation-config:",
    );
    return;
  }
  for (const pointer of document.duplicates) {
    // Those of the compilation config are noted where it is read.
    const [key, ...inside] = fromPointer(pointer);
    if (key === undefined || inside.length > 0) continue;
    const message = `${describe(key)} occurs twice: the last one counts`;
    given.note(document.locate(pointer, "key"), "duplicate", "warning", message);
  }
  for (const [key, value] of Object.entries(options)) readFileOption(document, key, value, given);
  if (given.layers.file.length === 0 && given.problems.count === 0) {
    given.note(
      { source: document.source },
      "file",
      "info",
      "the file has no compilation-config: the defaults apply",
    );
  }
}

function readFileOption(document: ConfigDocument, key: string, value: unknown, given: GivenSettings): void {
  const pointer = toPointer([key]);
  const [first = "", ...path] = key.split(".");
  const name = optionName(first);
  const place = () => document.locate(pointer, "key");
  if (first.startsWith("-")) {
    given.problem(
      place(),
      `the option ${describe(key)} begins with a dash`,
      "the long name",
      `write ${describe(isServeOption(name) ? name : (nearestOwnOption(name) ?? name))}`,
    );
  } else if (path.length > MAX_DEPTH || path.includes("") || path.at(-1) === "+") {
    given.problem(
      place(),
      `${describe(key)} has empty or too many keys`,
      "keys between the dots",
      "write a map",
    );
  } else if (name === "compilation-config" && path.length === 0) {
    given.collecting(() => {
      given.layers.file.push({ rank: "file", form: "json", document: document.open(pointer) });
    });
  } else if (name === "compilation-config") {
    given.layers.file.push(dottedFileLayer(document, pointer, path, value));
  } else {
    const setting = SETTING_NAMES.find((known) => known === `--${name}`);
    if (setting !== undefined && path.length === 0)
      given.set(setting, settingValue(setting, value), "file", place());
    else if (isServeOption(name)) given.fileOptions.set(key, value);
    else readUnknownOption(document, key, name, given, value);
  }
}

/** As vLLM does, which makes arguments of a file's options: sizes may have a suffix. */
function settingValue(name: SettingName, value: unknown): unknown {
  const isSize = name === "--max-cudagraph-capture-size" && typeof value === "string";
  return isSize ? (parseHumanReadableInteger(value) ?? value) : value;
}

/** A key that vLLM does not have: a problem if it resembles one that vitgraph reads, else a note, since a newer vLLM may have it. */
function readUnknownOption(
  document: ConfigDocument,
  key: string,
  name: string,
  given: GivenSettings,
  value: unknown,
): void {
  const pointer = toPointer([key]);
  const place = () => document.locate(pointer, "key");
  if (isConfigKey(key)) {
    given.problem(
      place(),
      `${describe(key)} is a key of the compilation config`,
      "an option",
      "put it under compilation-config",
    );
    return;
  }
  const nearest = nearestOwnOption(name);
  if (nearest !== undefined) {
    const fix = key.includes(".") ? undefined : rename(pointer, nearest);
    given.problem(
      place(),
      `${describe(key)} is not an option`,
      `"${nearest}"`,
      `did you mean "${nearest}"?`,
      fixOf(document, fix),
    );
    return;
  }
  given.noteUnknownOption(place(), shorten(key), name);
  given.fileOptions.set(key, value);
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
