/**
 * Finds the compilation configs in a file: a whole JSON file, `compilation-config:` in YAML, `-cc` among the arguments of
 * compose files and Kubernetes manifests, and YAML files in ConfigMaps. For the command line and the editor alike.
 */
import { nearestKey } from "@vitgraph/errors";
import {
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  type Scalar,
  visit,
} from "yaml";
import { type LocateOffset, offsetPlaces, parseJsonDocument } from "./document.js";
import { byPlace, type ConfigFinding, configFindings } from "./findings.js";
import type { TextEdit } from "./fix.js";
import type { LintFacts } from "./lint.js";
import { parseCompilationConfig } from "./parse.js";
import { configInvalid, type Place } from "./problem.js";
import { parseConfigFile, parseServeArguments } from "./serve/arguments.js";
import type { ArgumentText } from "./serve/types.js";
import { editWord, type ShellWord, shellWords } from "./shell-words.js";
import { embedEdits } from "./text-edits.js";
import { resolveAlias } from "./yaml-aliases.js";
import { parseYamlDocument, yamlProblem } from "./yaml-document.js";
import { type EmbeddedJson, embeddedJson } from "./yaml-json.js";
import { parseYamlStream } from "./yaml-parse.js";

/** A file to search for compilation configs. */
export interface TextFile {
  /** The file's name, or its path. */
  readonly name: string;
  readonly text: string;
}

/** A text inside a file. `embedEdit` is absent if the file has it in another form, such as a map. */
export interface PartOfFile {
  readonly text: string;
  /** Offset in the file of an offset in the part. */
  toSource(offset: number): number;
  /** Undefined outside the part. */
  toPart(sourceOffset: number): number | undefined;
  /** An edit of the part as one of the file; undefined if it cannot be written there. */
  embedEdit?(edit: TextEdit): TextEdit | undefined;
}

/** A compilation config in a file: its findings, and its parts for completion and hover. */
export interface ConfigText {
  /** Offset at which findings about the whole config are shown. */
  readonly start: number;
  /** The findings of this config, with places and fixes in the file. @param facts about the model, for the linter */
  findings(facts?: LintFacts): readonly ConfigFinding[];
  /** The config's JSON, for completion and hover. */
  readonly json: readonly PartOfFile[];
  /** The config's dotted arguments: `-cc.mode=3`, or `-cc.mode` alone. */
  readonly dotted: readonly PartOfFile[];
}

/** The configs in a file; none in YAML that is too long or nested too deeply. */
export function configTexts(file: TextFile): readonly ConfigText[] {
  return file.name.endsWith(".json") ? [jsonFile(file)] : yamlConfigs(file, parseYamlStream(file.text));
}

/**
 * The findings in a YAML or JSON file: a `--config` file, a bare compilation config, or any file with configs further
 * inside, such as manifests and the values of a Helm chart. In the order of the text; findings without a line come last.
 * @param file its name's ending gives the format; without one, text that begins with [, { or " is JSON
 */
export function fileFindings(file: TextFile, facts: LintFacts = {}): readonly ConfigFinding[] {
  // JSON is parsed as YAML, unless the whole file is one config: vLLM reads that as strict JSON.
  const documents = parseYamlStream(file.text);
  const configs = yamlConfigs(file, documents);
  const faults = documents.flatMap(({ errors }) => errors);
  const isJson = isJsonFile(file);
  if (isConfigFile(documents, configs) || (isJson && faults.length > 0)) {
    const read = isJson ? parseJsonDocument : parseYamlDocument;
    const parse = () => parseConfigFile(read(file.text, file.name)).compilationConfig;
    return configFindings(file.name, parse, facts);
  }
  if (faults.length > 0) {
    const locate = offsetPlaces(file.text, file.name);
    const problems = faults.map((fault) => yamlProblem(fault, locate));
    return configFindings(file.name, () => {
      throw configInvalid(problems);
    });
  }
  if (configs.length > 0) return configs.flatMap((config) => config.findings(facts)).sort(byPlace);
  const message = "no compilation config in the manifests";
  return [{ source: file.name, severity: "note", message }];
}

function isJsonFile({ name, text }: TextFile): boolean {
  const ending = /\.(json|ya?ml)$/i.exec(name)?.[1]?.toLowerCase();
  return ending === undefined ? /^\s*[[{"]/.test(text) : ending === "json";
}

/** True if the file is a `--config` file or a bare config; also if it is empty or not YAML, which the parser reports. */
function isConfigFile(documents: readonly Document[], configs: readonly ConfigText[]): boolean {
  if (documents.some(({ contents }) => configPairs(contents).length > 0)) return true;
  if (documents.length > 1) return false;
  return configs.length === 0 && !isManifest(documents[0]?.contents);
}

/** A compose file, or an object of Kubernetes. */
function isManifest(contents: unknown): boolean {
  return (
    isMap(contents) && (contents.has("services") || (contents.has("apiVersion") && contents.has("kind")))
  );
}

function jsonFile({ name, text }: TextFile): ConfigText {
  const whole: PartOfFile = {
    text,
    toSource: (offset) => offset,
    toPart: (offset) => offset,
    embedEdit: (edit) => edit,
  };
  return {
    start: 0,
    findings: (facts) => configFindings(name, () => parseCompilationConfig(text, { source: name }), facts),
    json: [whole],
    dotted: [],
  };
}

// ---- YAML

const CONFIG = "compilation-config";

function yamlConfigs(file: TextFile, documents: readonly Document[]): readonly ConfigText[] {
  return [...ownConfigs(file, documents), ...documents.flatMap((document) => filesIn(document, file))];
}

/** The configs of a file, except those in files of a ConfigMap. */
function ownConfigs(file: TextFile, documents: readonly Document[]): readonly ConfigText[] {
  const locate = offsetPlaces(file.text, file.name);
  return documents.flatMap((document) => {
    const serveFile = documents.length === 1 ? serveFileIn(document, file) : undefined;
    const configs = serveFile === undefined ? configKeysIn(document, file, locate) : [serveFile];
    return [...configs, ...argumentListsIn(document, file, locate)];
  });
}

/** A `--config` file: a map with the key compilation-config, or a misspelling of it. */
function serveFileIn(document: Document, { name, text }: TextFile): ConfigText | undefined {
  const pairs = configPairs(document.contents);
  if (pairs.length === 0) return undefined;
  return {
    start: pairs[0]!.key.range?.[0] ?? 0,
    findings: (facts) =>
      configFindings(name, () => parseConfigFile(parseYamlDocument(text, name)).compilationConfig, facts),
    json: pairs.flatMap(({ value }) => partOf(embeddedJson(value, document, text))),
    dotted: [],
  };
}

function configPairs(contents: unknown): readonly Pair<Node, Node | null>[] {
  if (!isMap(contents)) return [];
  const isOther = isManifest(contents);
  return (contents.items as Pair<Node, Node | null>[]).filter(({ key }) => {
    const option = optionOf(key).split(".", 1)[0]!;
    return option === CONFIG || (!isOther && nearestKey(option, [CONFIG]) !== undefined);
  });
}

/** `compilation-config:` at deeper levels, as in the values of a Helm chart. */
function configKeysIn(
  document: Document,
  { name, text }: TextFile,
  locate: LocateOffset,
): readonly ConfigText[] {
  const found: ConfigText[] = [];
  /** A config that aliases name again is checked once. */
  const seen = new Set<Node>();
  visit(document, {
    Pair(_, { key, value }) {
      if (optionOf(key) !== CONFIG || !isNode(value)) return undefined;
      const node = resolveAlias(value, document);
      if (node === undefined || seen.has(node)) return visit.SKIP;
      seen.add(node);
      const json = embeddedJson(node, document, text);
      if (json === undefined) return undefined;
      const textOf = (): ArgumentText => ({
        locate: (offset) => locate(json.toSource(offset)),
        embedEdit: (edit) => json.embedEdit?.(edit),
      });
      found.push({
        start: (key as Node).range?.[0] ?? 0,
        findings: (facts) =>
          configFindings(
            name,
            () => parseServeArguments(["--compilation-config", json.text], { textOf }).compilationConfig,
            facts,
          ),
        json: partOf(json),
        dotted: [],
      });
      return visit.SKIP;
    },
  });
  return found;
}

function partOf(json: EmbeddedJson | undefined): readonly PartOfFile[] {
  return json === undefined ? [] : [{ ...json, toPart: json.toJson }];
}

function optionOf(key: unknown): string {
  return isScalar(key) ? String(key.value).replaceAll("_", "-") : "";
}

/** YAML and JSON files in a ConfigMap: `serve.yaml: |`. Files inside these files are not searched. */
function filesIn(document: Document, file: TextFile): readonly ConfigText[] {
  const locate = offsetPlaces(file.text, file.name);
  const found: ConfigText[] = [];
  visit(document, {
    Pair(_, { key, value }) {
      if (!isScalar(key) || !/\.(json|ya?ml)$/.test(String(key.value)) || !isScalar(value)) return;
      const inner = embeddedJson(value, document, file.text);
      if (inner?.embedEdit === undefined) return;
      const place = placeIn(inner.text, (offset) => locate(inner.toSource(offset)));
      const configs = ownConfigs({ name: file.name, text: inner.text }, parseYamlStream(inner.text));
      found.push(...configs.map((config) => configInside(config, partOf(inner)[0]!, place)));
    },
  });
  return found;
}

/** Maps a place in a text to its place in the file. */
function placeIn(text: string, locate: LocateOffset): (line: number, column: number) => Place {
  const starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  return (line, column) => locate((starts[line - 1] ?? 0) + column - 1);
}

/** A config in a text that is part of a file, with places and edits of the file. */
function configInside(
  config: ConfigText,
  outer: PartOfFile,
  place: (line: number, column: number) => Place,
): ConfigText {
  const embed = (edit: TextEdit) => outer.embedEdit?.(edit);
  const inFile = (part: PartOfFile): PartOfFile => ({
    text: part.text,
    toSource: (offset) => outer.toSource(part.toSource(offset)),
    toPart(sourceOffset) {
      const at = outer.toPart(sourceOffset);
      return at === undefined ? undefined : part.toPart(at);
    },
    embedEdit(edit) {
      const inner = part.embedEdit?.(edit);
      return inner && embed(inner);
    },
  });
  return {
    start: outer.toSource(config.start),
    findings: (facts) =>
      config.findings(facts).map(({ fix, line, column = 1, ...finding }) => {
        const edits = fix && embedEdits(fix.edits, embed);
        return {
          ...finding,
          ...(line === undefined ? {} : place(line, column)),
          ...(fix === undefined || edits === undefined ? {} : { fix: { ...fix, edits } }),
        };
      }),
    json: config.json.map(inFile),
    dotted: config.dotted.map(inFile),
  };
}

// ---- Arguments

const LIST_KEY = /(args|command|entrypoint)$/i;
const CONFIG_ARGUMENT = /^(-cc|--comp\w*[-_]conf\w*)($|[.=\s])/;

/** An argument as part of a file. */
type Argument = Required<PartOfFile>;

function argumentListsIn(document: Document, file: TextFile, locate: LocateOffset): readonly ConfigText[] {
  const found: ConfigText[] = [];
  visit(document, {
    Pair(_, { key, value }) {
      if (!isScalar(key) || !LIST_KEY.test(String(key.value))) return;
      const nodes = isSeq(value) ? value.items : [value];
      const list = nodes.flatMap((node) => argumentsIn(node, document, file.text, isSeq(value)));
      const first = list.find(({ text }) => CONFIG_ARGUMENT.test(text));
      if (first !== undefined) found.push(argumentList(list, first.toSource(0), file, locate));
    },
  });
  return found;
}

/** A member of a list is one argument, unless it is a script; a single string is a command line. */
function argumentsIn(
  node: unknown,
  document: Document,
  source: string,
  isMember: boolean,
): readonly Argument[] {
  if (!isScalar(node)) return [];
  // A number, as in -cc.mode 3, is read as written.
  const scalar = typeof node.value === "string" ? node : undefined;
  if (scalar === undefined) return [plainArgument(node, source)];
  const json = embeddedJson(scalar, document, source);
  if (json?.embedEdit === undefined) return [];
  const whole: Argument = { ...json, toPart: json.toJson, embedEdit: json.embedEdit };
  const isScript = /^[^-].*\s(-cc|--comp\w*[-_]conf\w*)/s.test(json.text);
  return isMember && !isScript ? [whole] : shellWords(json.text).map((word) => wordIn(whole, word));
}

function plainArgument(node: Scalar, source: string): Argument {
  const [start, end] = node.range ?? [0, 0];
  return {
    text: source.slice(start, end),
    toSource: (offset) => start + offset,
    toPart: (offset) => (offset < start || offset > end ? undefined : offset - start),
    embedEdit: (edit) => ({ ...edit, start: start + edit.start, end: start + edit.end }),
  };
}

function wordIn(whole: Argument, word: ShellWord): Argument {
  const { text, starts, ends } = word;
  return {
    text,
    toSource: (offset) => whole.toSource(starts[offset] ?? ends.at(-1) ?? 0),
    toPart(sourceOffset) {
      const at = whole.toPart(sourceOffset);
      if (at === undefined || at < starts[0]! || at > starts.at(-1)!) return undefined;
      return starts.findIndex((start) => start >= at);
    },
    embedEdit(edit) {
      const inLine = editWord(word, edit);
      return inLine && whole.embedEdit(inLine);
    },
  };
}

function argumentList(
  list: readonly Argument[],
  start: number,
  { name }: TextFile,
  locate: LocateOffset,
): ConfigText {
  const { known, variables } = knownArguments(list);
  const placeOf = (argument: Argument, offset: number) => locate(argument.toSource(offset));
  const textOf = (index: number): ArgumentText => {
    const argument = known[index]!;
    return { locate: (offset) => placeOf(argument, offset), embedEdit: argument.embedEdit };
  };
  const argv = known.map(({ text }) => text);
  const notes = variables.map((argument): ConfigFinding => {
    const message = "the value has a variable, and is not checked";
    return { ...placeOf(argument, 0), severity: "note", message };
  });
  return {
    start,
    findings: (facts) => [
      ...notes,
      ...configFindings(name, () => parseServeArguments(argv, { textOf }).compilationConfig, facts),
    ],
    json: list.flatMap((argument, index) => jsonIn(argument, list[index - 1])),
    dotted: list.filter(({ text }) => /^(-cc|--compilation[-_]config)\./.test(text)),
  };
}

/** A variable of the shell, compose, Kubernetes or Helm. */
const VARIABLE = /\$[({]|^\$\w+$|\{\{-?\s*[^"\s]/;
const TAKES_VALUE = /^(-cc|--comp\w*[-_]conf\w*|-O$|--optimization[-_]level$)/;

/**
 * The arguments without `--config FILE`, since the file is on another machine, and without values that have a variable.
 * @returns variables: values of the compilation config that have a variable
 */
function knownArguments(list: readonly Argument[]): {
  readonly known: readonly Argument[];
  readonly variables: readonly Argument[];
} {
  const known: Argument[] = [];
  const variables: Argument[] = [];
  for (const argument of list) {
    const { text } = argument;
    const option = known.at(-1)?.text ?? "";
    const isValue = !text.includes("=") || !text.startsWith("-");
    if (option === "--config") {
      known.pop();
    } else if (!VARIABLE.test(text)) {
      if (!text.startsWith("--config=")) known.push(argument);
    } else if (isValue && TAKES_VALUE.test(option) && !option.includes("=")) {
      known.pop();
      variables.push(argument);
    } else if (CONFIG_ARGUMENT.test(text)) {
      variables.push(argument);
    }
  }
  return { known, variables };
}

/** The JSON of `-cc JSON` and `-cc=JSON`. */
function jsonIn(argument: Argument, before: Argument | undefined): readonly PartOfFile[] {
  if (before !== undefined && /^(-cc|--compilation[-_]config)$/.test(before.text)) return [argument];
  const [name] = /^(-cc|--compilation[-_]config)=/.exec(argument.text) ?? [];
  return name === undefined ? [] : [partFrom(argument, name.length)];
}

function partFrom(argument: Argument, from: number): PartOfFile {
  return {
    text: argument.text.slice(from),
    toSource: (offset) => argument.toSource(from + offset),
    toPart(sourceOffset) {
      const at = argument.toPart(sourceOffset);
      return at === undefined || at < from ? undefined : at - from;
    },
    embedEdit: (edit) => argument.embedEdit({ ...edit, start: from + edit.start, end: from + edit.end }),
  };
}
