/**
 * Options in the forms of `vllm serve` that are not the compilation config: dotted ones, and those of a `--config` file. A
 * command uses `mm-processor-kwargs`, or none of them.
 */
import { compilationConfigSchema, nearestKey, type ServeArguments } from "@vitgraph/config";
import { VitgraphError } from "@vitgraph/errors";
import { type CliIo, printNote } from "./cli-io.js";

const KWARGS = "mm-processor-kwargs";

/** The settings of the image processor: dotted ones over those of `--mm-processor-kwargs` over the file's. */
export function mmProcessorKwargs(
  { dotted, fileOptions }: ServeArguments,
  given: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  const fromFile = Object.entries(fileOptions).find(([name]) => optionName(name) === KWARGS)?.[1] ?? {};
  if (typeof fromFile !== "object" || Array.isArray(fromFile)) {
    throw new VitgraphError("VG_CONFIG_INVALID", `${KWARGS} of the config file is no map of settings`, {
      remedy: "write them one below the other, such as max_pixels: 1003520",
    });
  }
  return { ...fromFile, ...given, ...dotted[KWARGS] };
}

/**
 * Notes the options of the file that have no effect in this command: those of other parts of vLLM.
 * @throws VG_CONFIG_INVALID for a dotted option that the command does not have, and for a misspelt or missing
 *   `compilation-config` in the file
 */
export function reportUnused(
  { dotted, fileOptions }: ServeArguments,
  args: readonly string[],
  usesKwargs: boolean,
  io: CliIo,
): void {
  const isUsed = (name: string) => usesKwargs && optionName(name) === KWARGS;
  if (Object.keys(dotted).some((name) => !isUsed(name))) throw unknownOption(args, usesKwargs);
  const unused = Object.keys(fileOptions).filter((name) => !isUsed(name));
  for (const name of unused) checkFileOption(name);
  if (unused.length > 0) printNote(io, `options of the config file without effect here: ${listed(unused)}`);
}

const CONFIG = "compilation-config";

function checkFileOption(name: string): void {
  const wrong = (fact: string, remedy: string) =>
    new VitgraphError("VG_CONFIG_INVALID", `${JSON.stringify(name)} in the config file ${fact}`, {
      remedy,
      details: { name },
    });
  if (nearestKey(name, [CONFIG]) !== undefined) throw wrong("is no option", `did you mean ${CONFIG}?`);
  if (Object.hasOwn(compilationConfigSchema.properties ?? {}, name))
    throw wrong("is a key of the compilation config", `put it under ${CONFIG}`);
}

/** An option in dotted form as it was written: "-O" and ".mode". */
interface DottedOption {
  readonly option: string;
  readonly keys: string;
}

/** Dotted options of the arguments that are not the compilation config's. */
export function dottedOptions(args: readonly string[]): readonly DottedOption[] {
  return args.flatMap((argument) => {
    const [, option, keys] = /^(--?[A-Za-z][^.=]*)(\.[^=]*)/.exec(argument) ?? [];
    if (option === undefined || keys === undefined || CONFIG_OPTIONS.includes(optionName(option))) return [];
    return [{ option, keys }];
  });
}

const CONFIG_OPTIONS = ["-cc", `--${CONFIG}`];

function unknownOption(args: readonly string[], usesKwargs: boolean): VitgraphError {
  const known = usesKwargs ? [...CONFIG_OPTIONS, `--${KWARGS}`] : CONFIG_OPTIONS;
  const unknown = dottedOptions(args).find(({ option }) => !known.includes(optionName(option)));
  const { option, keys } = unknown as DottedOption;
  // -O is the name that -cc had in vLLM 0.11.
  const nearest = option === "-O" ? "-cc" : nearestKey(option, known);
  return new VitgraphError("VG_CONFIG_INVALID", `unknown option ${option}${keys}`, {
    remedy: nearest === undefined ? "remove it" : `did you mean ${nearest}${keys}?`,
    details: { option: `${option}${keys}` },
  });
}

function optionName(name: string): string {
  return name.replaceAll("_", "-");
}

/** Names that a note lists at most: a file may be anything. */
const MAX_LISTED = 20;

function listed(names: readonly string[]): string {
  const more = names.length > MAX_LISTED ? `, and ${names.length - MAX_LISTED} more` : "";
  return `${names
    .slice(0, MAX_LISTED)
    .map((name) => name.slice(0, 80))
    .join(", ")}${more}`;
}
