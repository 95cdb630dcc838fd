/** Reads the arguments that concern a compilation config; the others are returned in order. */
import { scanJson, shorten } from "@vitgraph/errors";
import { MAX_DEPTH } from "../bounds.js";
import { type JsonPlace, parseJsonArgument, valueDocument } from "../document.js";
import type { ConfigChange, TextEdit } from "../fix.js";
import { parseHumanReadableInteger } from "../human-readable.js";
import { toPointer } from "../pointer.js";
import type { Place } from "../problem.js";
import { compilationConfigSchema } from "../schema.js";
import { embedEdits } from "../text-edits.js";
import { nest } from "../value.js";
import type { GivenSettings, SettingName } from "./given.js";
import type { ServeArgumentsOptions } from "./types.js";
import { isServeOption, nearestOwnOption, optionName } from "./vllm-options.js";

/** Reads an option's values from the arguments. */
interface OptionReader {
  /** Values that follow the option: none, one, or all up to the next option, but after `=` one. */
  readonly takes: "none" | "one" | "many";
  read(given: GivenSettings, values: readonly string[], place: Place, first?: JsonPlace): void;
}

const OPTIONS: ReadonlyMap<string, OptionReader> = new Map(
  Object.entries<OptionReader>({
    "--compilation-config": {
      takes: "one",
      read: (given, [text = ""], place, first) =>
        given.collecting(() => {
          const document = parseJsonArgument(text, place.source, first);
          given.layers.argument.push({ rank: "argument", form: "json", document });
        }),
    },
    "--config": {
      takes: "one",
      read(given, [path = ""], place) {
        if (given.configPath !== undefined) {
          given.problem(
            place,
            "there is more than one --config",
            "one config file",
            "merge the files into one",
          );
        }
        given.configPath = { path, place };
      },
    },
    "--optimization-level": setting("--optimization-level", "one", ([level = ""]) => level),
    "--enforce-eager": setting("--enforce-eager", "none", () => true),
    "--no-enforce-eager": setting("--enforce-eager", "none", () => false),
    "--cudagraph-capture-sizes": setting("--cudagraph-capture-sizes", "many", (sizes) => sizes),
    "--max-cudagraph-capture-size": setting(
      "--max-cudagraph-capture-size",
      "one",
      ([size = ""]) => parseHumanReadableInteger(size) ?? size,
    ),
  }),
);

function setting(
  name: SettingName,
  takes: OptionReader["takes"],
  value: (values: readonly string[]) => unknown,
): OptionReader {
  return { takes, read: (given, values, place) => given.set(name, value(values), "argument", place) };
}

/** `-cc` and `-O` are short for these. */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ["-cc", "--compilation-config"],
  ["-O", "--optimization-level"],
  ["-ac", "--attention-config"],
]);

/** A forward walk over the arguments. */
class Cursor {
  private index = 0;
  constructor(
    private readonly argv: readonly string[],
    private readonly textOf: ServeArgumentsOptions["textOf"],
  ) {}

  /** The place of the argument taken last: in its text, or else its name. */
  place(name: string): Place {
    return this.textOf?.(this.index - 1).locate(0) ?? { source: name };
  }

  /** The characters of the argument taken last, from an offset on; undefined if it is not part of a text. */
  textFrom(start: number): Required<JsonPlace> | undefined {
    const text = this.textOf?.(this.index - 1);
    if (text === undefined) return undefined;
    return {
      locate: (offset) => text.locate(start + offset),
      embedEdit: (edit) => text.embedEdit({ ...edit, start: start + edit.start, end: start + edit.end }),
    };
  }

  /** The next argument, if there is one and it passes. */
  take(passes: (argument: string) => boolean = () => true): string | undefined {
    const argument = this.argv[this.index];
    if (argument === undefined || !passes(argument)) return undefined;
    this.index++;
    return argument;
  }

  remaining(): readonly string[] {
    return this.argv.slice(this.index);
  }
}

export function readArguments(
  argv: readonly string[],
  given: GivenSettings,
  textOf?: ServeArgumentsOptions["textOf"],
): void {
  const cursor = new Cursor(argv, textOf);
  for (let argument = cursor.take(); argument !== undefined; argument = cursor.take()) {
    if (argument === "--") {
      given.rest.push(argument, ...cursor.remaining());
      return;
    }
    const { name, inline } = splitArgument(argument);
    const option = OPTIONS.get(canonicalName(name));
    if (refuseJoined(argument, cursor.place(shorten(argument)), given)) continue;
    // Text with spaces is a value, such as "-Be brief. Then stop."
    if (/^--?[A-Za-z][^.\s]*\.\S*$/.test(name)) readDotted(name, inline, cursor, given);
    else if (option !== undefined) readOption(name, inline, option, cursor, given);
    else if (!refuseMisspelt(name, cursor.place(shorten(name)), given)) given.rest.push(argument);
  }
}

/** Refuses `"-cc {…}"` as one argument, as from a quoted line of a template, and typographic dashes. */
function refuseJoined(argument: string, place: Place, given: GivenSettings): boolean {
  const [, name = ""] = /^(--?[A-Za-z][^\s=]*)\s+\S/.exec(argument) ?? [];
  const [first = ""] = name.split(".");
  if (first !== "" && (OPTIONS.has(canonicalName(first)) || OPTIONS.has(canonicalName(name)))) {
    given.problem(
      place,
      `${shorten(name)} and its value are one argument`,
      "two arguments",
      `pass them as two, or write ${shorten(name)}=VALUE: the quotes are around both`,
    );
    return true;
  }
  if (!/^[\u2010-\u2015\u2212]+-?(cc|O\d?|compilation[-_]config|config)\b/.test(argument)) return false;
  given.problem(place, "the option begins with a typographic dash", "- or --", "type the dashes anew");
  return true;
}

/** Refuses an option that is nearly one of those that vitgraph reads. Others are not known here. */
function refuseMisspelt(name: string, place: Place, given: GivenSettings): boolean {
  if (!name.startsWith("--") || isServeOption(optionName(name))) return false;
  const nearest = nearestOwnOption(optionName(name));
  if (nearest === undefined) return false;
  given.problem(place, "unknown option", "a known option", `did you mean --${nearest}?`);
  return true;
}

/** Name and inline value: `-cc={}`, `-O3`, `-O=3`. */
function splitArgument(argument: string): { name: string; inline: string | undefined } {
  const level = /^-O=?([^.=][^=]*)$/.exec(argument);
  if (level !== null) return { name: "-O", inline: level[1] };
  const equals = argument.startsWith("-") ? argument.indexOf("=") : -1;
  return equals < 0
    ? { name: argument, inline: undefined }
    : { name: argument.slice(0, equals), inline: argument.slice(equals + 1) };
}

/** The option's long name; underscores are dashes in names that begin with two. */
function canonicalName(name: string): string {
  return SHORT_NAMES.get(name) ?? (name.startsWith("--") ? name.replaceAll("_", "-") : name);
}

function readOption(
  name: string,
  inline: string | undefined,
  option: OptionReader,
  cursor: Cursor,
  given: GivenSettings,
): void {
  const place = cursor.place(name);
  const inlineText = inline === undefined ? undefined : cursor.textFrom(name.length + 1);
  if (option.takes === "none") {
    if (inline === undefined) option.read(given, [], place);
    else given.problem(place, "the option takes no value", "no value", `write ${name} alone`);
    return;
  }
  const first = inline ?? cursor.take();
  // Empty is what a shell makes of a variable that is not set.
  if (first === undefined || first === "") {
    given.problem(place, "the option needs a value", "a value", `add it: ${name} VALUE`);
    return;
  }
  const firstText = inlineText ?? cursor.textFrom(0);
  const values = [first];
  // As argparse does: after `=` comes one value, and what follows is a file, perhaps.
  if (option.takes === "many" && inline === undefined) {
    const isValue = (argument: string) => !argument.startsWith("-");
    for (let next = cursor.take(isValue); next !== undefined; next = cursor.take(isValue)) values.push(next);
  }
  option.read(given, values, place, firstText);
}

/** `-cc.pass_config.enable_sp`, with its value. */
function readDotted(name: string, inline: string | undefined, cursor: Cursor, given: GivenSettings): void {
  const [option = "", ...path] = name.split(".");
  const shown = shorten(name);
  const nameText = cursor.textFrom(0);
  const namePlace = cursor.place(shown);
  const text = inline ?? cursor.take();
  if (text === undefined) {
    given.problem(namePlace, "the option needs a value", "a value", `add it: ${shown}=VALUE`);
    return;
  }
  const place = nameText === undefined ? { source: shorten(`${name}=${text}`, 80) } : namePlace;
  const last = path.pop() ?? "";
  const appends = last.endsWith("+");
  const keys = [...path, appends ? last.slice(0, -1) : last];
  if (keys.includes("")) {
    given.problem(place, "the option has an empty key", "keys between the dots", "remove the extra dot");
    return;
  }
  if (keys.length > MAX_DEPTH || scanJson(text, MAX_DEPTH).isTooDeep) {
    given.problem(
      place,
      "the option is nested too deeply to be read",
      `at most ${MAX_DEPTH} levels`,
      "flatten it",
    );
    return;
  }
  if (!hasKeys(option, keys, place, given)) return;
  const value = appends ? text.split(",") : parseDottedValue(text);
  given.addDotted(canonicalName(option), {
    rank: "argument",
    form: appends ? "append" : "dotted",
    document: {
      ...valueDocument(nest(keys, value), place.source),
      locate: () => place,
      edits(change) {
        const edits = dottedEdits(change, name, keys, inline);
        return edits && nameText && embedEdits(edits, nameText.embedEdit);
      },
    },
  });
}

/** Edits of the key or the value of `-cc.key=value`. Changes inside a JSON value have no edits. */
function dottedEdits(
  change: ConfigChange,
  name: string,
  keys: readonly string[],
  inline: string | undefined,
): readonly TextEdit[] | undefined {
  if (change.pointer !== toPointer(keys)) return undefined;
  const end = name.endsWith("+") ? name.length - 1 : name.length;
  if (change.kind === "rename") return [{ start: end - keys.at(-1)!.length, end, text: change.name }];
  if (change.kind !== "set" || inline === undefined || name.endsWith("+")) return undefined;
  const { value } = change;
  const start = name.length + 1;
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return [{ start, end: start + inline.length, text }];
}

/**
 * True if an option takes keys. An option without keys, or a misspelt compilation config, is a problem; any other unknown
 * option gets a note and is ignored, since a newer vLLM may have it.
 */
function hasKeys(option: string, keys: readonly string[], place: Place, given: GivenSettings): boolean {
  const long = canonicalName(option);
  const name = optionName(long);
  if (name === "compilation-config") return true;
  const dotted = shorten(`-cc.${keys.join(".")}`);
  if (OPTIONS.has(long)) {
    const fact = long === "--optimization-level" ? "takes a level, 0 to 3, and has no keys" : "has no keys";
    given.problem(place, `${shorten(option)} ${fact}`, "an option with keys", `did you mean ${dotted}?`);
    return false;
  }
  if (long.startsWith("--") && isServeOption(name)) return true;
  const nearest = nearestOwnOption(name);
  if (nearest !== undefined || Object.hasOwn(compilationConfigSchema.properties ?? {}, keys[0]!)) {
    const meant = nearest === undefined ? dotted : shorten(`--${nearest}.${keys.join(".")}`);
    given.problem(place, `unknown option ${shorten(option)}`, "a known option", `did you mean ${meant}?`);
    return false;
  }
  given.noteUnknownOption(place, shorten(option), name);
  return true;
}

/** JSON if it is JSON, else a human-readable integer, else the text itself. */
function parseDottedValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return parseHumanReadableInteger(text) ?? text;
  }
}
