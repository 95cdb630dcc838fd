/**
 * The compilation configs in a file: the whole of a `*.cc.json`, `compilation-config:` in YAML, and `-cc` among the
 * arguments of compose files and Kubernetes manifests.
 */
import {
  type ArgumentText,
  type ConfigFinding,
  configFindings,
  nearestKey,
  parseCompilationConfig,
  parseConfigFile,
  parseServeArguments,
  type TextEdit,
} from "@vitgraph/config";
import { type EmbeddedJson, embeddedJson, parseYamlDocument, parseYamlStream } from "@vitgraph/config/yaml";
import { type Document, isMap, isScalar, isSeq, type Node, type Pair, type Scalar, visit } from "yaml";
import { editWord, type ShellWord, shellWords } from "./shell-words.js";
import type { TextLines } from "./text-lines.js";

export interface TextFile {
  /** The file's name, or its path. */
  readonly name: string;
  readonly text: string;
}

/** A text inside a file. Edits are absent where the file has it in another form, such as a map. */
export interface PartOfFile {
  readonly text: string;
  toSource(offset: number): number;
  /** Undefined outside the part. */
  toPart(sourceOffset: number): number | undefined;
  embedEdit?(edit: TextEdit): TextEdit | undefined;
}

export interface ConfigText {
  /** Where findings about the whole are shown. */
  readonly start: number;
  findings(): readonly ConfigFinding[];
  /** Its JSON, for completion and hover. */
  readonly json: readonly PartOfFile[];
  /** Its dotted arguments: `-cc.mode=3`, or `-cc.mode` alone. */
  readonly dotted: readonly PartOfFile[];
}

export function configTexts(file: TextFile, lines: TextLines): readonly ConfigText[] {
  return file.name.endsWith(".json") ? [jsonFile(file)] : yamlConfigs(file, lines);
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
    findings: () => configFindings(name, () => parseCompilationConfig(text, { source: name })),
    json: [whole],
    dotted: [],
  };
}

// ---- YAML

const CONFIG = "compilation-config";

function yamlConfigs(file: TextFile, lines: TextLines): readonly ConfigText[] {
  const documents = parseYamlStream(file.text);
  return documents.flatMap((document) => {
    const serveFile = documents.length === 1 ? serveFileIn(document, file) : undefined;
    const configs = serveFile === undefined ? configKeysIn(document, file, lines) : [serveFile];
    return [...configs, ...argumentListsIn(document, file, lines)];
  });
}

/** A `--config` file: a map that has the compilation config among its keys, be it misspelt. */
function serveFileIn(document: Document, { name, text }: TextFile): ConfigText | undefined {
  const { contents } = document;
  if (!isMap(contents)) return undefined;
  const pairs = (contents.items as Pair<Node, Node | null>[]).filter(({ key }) => {
    const option = optionOf(key).split(".", 1)[0]!;
    return option === CONFIG || (!contents.has("services") && nearestKey(option, [CONFIG]) !== undefined);
  });
  if (pairs.length === 0) return undefined;
  return {
    start: pairs[0]!.key.range?.[0] ?? 0,
    findings: () =>
      configFindings(name, () => parseConfigFile(parseYamlDocument(text, name)).compilationConfig),
    json: pairs.flatMap(({ value }) => partOf(embeddedJson(value, document, text))),
    dotted: [],
  };
}

/** `compilation-config:` further inside, as in the values of a Helm chart. */
function configKeysIn(document: Document, { name, text }: TextFile, lines: TextLines): readonly ConfigText[] {
  const found: ConfigText[] = [];
  visit(document, {
    Pair(_, { key, value }) {
      const json = optionOf(key) === CONFIG ? embeddedJson(value as Node | null, document, text) : undefined;
      if (json === undefined) return undefined;
      const textOf = (): ArgumentText => ({
        locate: (offset) => lines.placeAt(json.toSource(offset)),
        embedEdit: (edit) => json.embedEdit?.(edit),
      });
      found.push({
        start: (key as Node).range?.[0] ?? 0,
        findings: () =>
          configFindings(
            name,
            () => parseServeArguments(["--compilation-config", json.text], { textOf }).compilationConfig,
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

// ---- Arguments

const LIST_KEY = /(args|command|entrypoint)$/i;
const CONFIG_ARGUMENT = /^(-cc|--comp\w*[-_]conf\w*)($|[.=\s])/;

/** An argument and the text it stands in. */
type Argument = Required<PartOfFile>;

function argumentListsIn(document: Document, file: TextFile, lines: TextLines): readonly ConfigText[] {
  const found: ConfigText[] = [];
  visit(document, {
    Pair(_, { key, value }) {
      if (!isScalar(key) || !LIST_KEY.test(String(key.value))) return;
      const nodes = isSeq(value) ? value.items : [value];
      const list = nodes.flatMap((node) => argumentsIn(node, document, file.text, isSeq(value)));
      const first = list.find(({ text }) => CONFIG_ARGUMENT.test(text));
      if (first !== undefined) found.push(argumentList(list, first.toSource(0), file, lines));
    },
  });
  return found;
}

/** A member of a list is one argument, unless it is a script; a string alone is a command line. */
function argumentsIn(
  node: unknown,
  document: Document,
  source: string,
  isMember: boolean,
): readonly Argument[] {
  if (!isScalar(node)) return [];
  // A number, such as that of -cc.mode 3, is text by its characters.
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
  lines: TextLines,
): ConfigText {
  const read = withoutFiles(list);
  const textOf = (index: number): ArgumentText => {
    const argument = read[index]!;
    return {
      locate: (offset) => lines.placeAt(argument.toSource(offset)),
      embedEdit: argument.embedEdit,
    };
  };
  const argv = read.map(({ text }) => text);
  return {
    start,
    findings: () => configFindings(name, () => parseServeArguments(argv, { textOf }).compilationConfig),
    json: list.flatMap((argument, index) => jsonIn(argument, list[index - 1])),
    dotted: list.filter(({ text }) => /^(-cc|--compilation[-_]config)\./.test(text)),
  };
}

/** `--config FILE` names a file of another machine. */
function withoutFiles(list: readonly Argument[]): readonly Argument[] {
  return list.filter(
    ({ text }, index) => !/^--config($|=)/.test(text) && list[index - 1]?.text !== "--config",
  );
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
