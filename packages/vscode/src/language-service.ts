/**
 * The extension's logic without VS Code: pure functions of a file's text. Offsets count UTF-16 units from 0.
 */
import {
  type ConfigCompletion,
  type ConfigFix,
  completeConfig,
  describeKey,
  hoverConfig,
  type LintRule,
  mergeFixes,
  type TextEdit,
} from "@vitgraph/config";
import { type ConfigText, configTexts, type PartOfFile, type TextFile } from "@vitgraph/config/yaml";
import { TextLines } from "./text-lines.js";

export type { TextFile } from "@vitgraph/config/yaml";

export interface Diagnostic {
  readonly start: number;
  readonly end: number;
  readonly severity: "error" | "warning" | "note";
  readonly message: string;
  /** The linter's rule. */
  readonly rule?: LintRule;
  readonly fix?: ConfigFix;
}

export interface Completion {
  readonly label: string;
  readonly detail?: string;
  readonly documentation?: string;
  /** The encoder's keys come first. */
  readonly isEncoders: boolean;
  readonly edit: TextEdit;
}

export interface Hover {
  readonly start: number;
  readonly end: number;
  readonly markdown: string;
}

/** All findings in the order of the text. */
export function diagnostics(file: TextFile): readonly Diagnostic[] {
  const lines = new TextLines(file.text);
  return configTexts(file)
    .flatMap((config) => config.findings().flatMap((finding) => diagnosticOf(finding, config, file, lines)))
    .sort((a, b) => a.start - b.start);
}

function diagnosticOf(
  finding: ReturnType<ConfigText["findings"]>[number],
  config: ConfigText,
  { text }: TextFile,
  lines: TextLines,
): readonly Diagnostic[] {
  const { severity, message, remedy, rule, fix, line, column = 1 } = finding;
  // Notes on the whole file are not shown: there is nothing to underline.
  if (severity === "note" && line === undefined) return [];
  const start = line === undefined ? config.start : lines.offsetAt(line, column);
  return [
    {
      start,
      end: start + tokenLength(text, start),
      severity,
      message: remedy === undefined ? message : `${message}: ${remedy}`,
      ...(rule === undefined ? {} : { rule }),
      ...(fix === undefined ? {} : { fix }),
    },
  ];
}

/** A string with its quotes (escaped or not), a word or a number, or one character. */
const TOKEN = /^(?:(\\+)"(?:(?!\1")[^\n])*\1"|"(?:[^"\\\n]|\\.)*"|[\w.$+-]+(?:=[^\s'",}]*)?|[^\n])/;
const LONGEST_TOKEN = 1000;

function tokenLength(text: string, start: number): number {
  return TOKEN.exec(text.slice(start, start + LONGEST_TOKEN))?.[0].length ?? 0;
}

/** The edits of all fixes that do not overlap. */
export function fixAll(file: TextFile): readonly TextEdit[] {
  return mergeFixes(diagnostics(file).flatMap(({ fix }) => fix ?? []));
}

/** Keys and values at a cursor. */
export function completions(file: TextFile, offset: number): readonly Completion[] {
  return configTexts(file).flatMap(({ json, dotted }) => [
    ...json.flatMap((part) => jsonCompletions(part, offset)),
    ...dotted.flatMap((part) => dottedCompletions(part, offset)),
  ]);
}

function jsonCompletions(part: PartOfFile, offset: number): readonly Completion[] {
  const at = part.toPart(offset);
  const found = at === undefined ? undefined : completeConfig(part.text, at);
  if (found === undefined) return [];
  return found.options.flatMap((option) =>
    completionOf(option, part, { start: found.from, end: found.to, text: option.insert }),
  );
}

/** Completes `-cc.pass_config.enable_sp=true` as the JSON {"pass_config": {"enable_sp": true}}, up to the cursor. */
function dottedCompletions(part: PartOfFile, offset: number): readonly Completion[] {
  const at = part.toPart(offset);
  if (at === undefined) return [];
  const before = part.text.slice(0, at);
  const after = part.text.slice(at);
  const equals = before.indexOf("=");
  const isKey = equals < 0;
  const [, ...path] = (isKey ? before : before.slice(0, equals)).split(".");
  const typed = isKey ? path.pop() : before.slice(equals + 1);
  if (typed === undefined) return [];
  const replaced = isKey ? /^\w*/.exec(after)![0] : after;
  const json = `${path.map((key) => `{${JSON.stringify(key)}: `).join("")}${isKey ? "{" : ""}${typed}`;
  return (completeConfig(json, json.length)?.options ?? []).flatMap((option) => {
    const text = option.insert.replace(/: $/, replaced === after ? "=" : "").replaceAll('"', "");
    const edit = { start: at - typed.length, end: at + replaced.length, text };
    return completionOf({ ...option, label: option.label.replaceAll('"', "") }, part, edit);
  });
}

/** No completion if its characters cannot be written at this place. */
function completionOf(
  { label, detail, description, isEncoders }: ConfigCompletion,
  part: PartOfFile,
  change: TextEdit,
): readonly Completion[] {
  const edit = part.embedEdit?.(change);
  if (edit === undefined) return [];
  return [
    {
      label,
      ...(detail === undefined ? {} : { detail }),
      ...(description === undefined ? {} : { documentation: description }),
      isEncoders,
      edit,
    },
  ];
}

/** The description of the key at an offset. */
export function hover(file: TextFile, offset: number): Hover | undefined {
  for (const { json, dotted } of configTexts(file)) {
    for (const part of json) {
      const at = part.toPart(offset);
      const found = at === undefined ? undefined : hoverConfig(part.text, at);
      if (found !== undefined) {
        const start = part.toSource(found.from);
        return { start, end: part.toSource(found.to), markdown: found.markdown };
      }
    }
    for (const part of dotted) {
      const found = part.toPart(offset) === undefined ? undefined : dottedHover(part);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function dottedHover(part: PartOfFile): Hover | undefined {
  const [name = ""] = part.text.split("=", 1);
  const [, ...path] = name.replace(/\+$/, "").split(".");
  const markdown = path.length === 0 ? undefined : describeKey(path);
  if (markdown === undefined) return undefined;
  return { start: part.toSource(0), end: part.toSource(name.length - 1) + 1, markdown };
}
