/**
 * Options in the forms of `vllm serve` that are not the compilation config: dotted ones, and those of a `--config` file. A
 * command uses `model` and `mm-processor-kwargs`, one of them, or none.
 */
import type { ServeArguments } from "@vitgraph/config";
import { isRecord, listed, shorten, VitgraphError } from "@vitgraph/errors";
import { type CliIo, printNote } from "./cli-io.js";

export const KWARGS = "mm-processor-kwargs";
export const MODEL = "model";

/** The settings of the image processor: dotted ones over those of `--mm-processor-kwargs` over the file's. */
export function mmProcessorKwargs(
  { dotted, fileOptions }: ServeArguments,
  given: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  const fromFile = Object.entries(fileOptions).find(([name]) => optionName(name) === KWARGS)?.[1] ?? {};
  if (!isRecord(fromFile)) {
    throw new VitgraphError("VG_CONFIG_INVALID", `${KWARGS} of the config file is not a map of settings`, {
      remedy: "write one setting per line, such as max_pixels: 1003520",
    });
  }
  return { ...fromFile, ...given, ...dotted[KWARGS] };
}

/** Options that name the model, or need none. */
const MODEL_OPTIONS = /^--(model|arch|print-workloads)(=|$)/;

/**
 * `--model` with the file's model, for commander; nothing if the command line has one, which goes first as in vLLM.
 * @throws VG_CONFIG_INVALID
 */
export function modelArguments({ fileOptions, rest }: ServeArguments): readonly string[] {
  const model = Object.entries(fileOptions).find(([name]) => optionName(name) === MODEL)?.[1];
  if (model === undefined || rest.some((argument) => MODEL_OPTIONS.test(argument))) return [];
  if (typeof model !== "string") {
    throw new VitgraphError("VG_CONFIG_INVALID", `${MODEL} of the config file is not a name`, {
      remedy: "write model: DIR, or the model's id on the hub",
    });
  }
  return [`--model=${model}`];
}

/**
 * Notes the options of the file that have no effect in this command: those of other parts of vLLM.
 * @param used names of those that it has
 * @throws VG_CONFIG_INVALID for a dotted option that the command does not have
 */
export function reportUnused(
  { dotted, fileOptions }: ServeArguments,
  args: readonly string[],
  used: readonly string[],
  io: CliIo,
): void {
  const isUsed = (name: string) => used.includes(optionName(name));
  const hasKwargs = used.includes(KWARGS);
  if (Object.keys(dotted).some((name) => !(hasKwargs && optionName(name) === KWARGS)))
    throw unknownOption(args, hasKwargs);
  const unused = Object.keys(fileOptions).filter((name) => !isUsed(name));
  if (unused.length > 0)
    printNote(
      io,
      `options of the config file without effect here: ${listed(unused, MAX_LISTED, (name) => name.slice(0, 80))}`,
    );
}

/** An option in dotted form, as written: "-O" and ".mode". */
interface DottedOption {
  readonly option: string;
  readonly keys: string;
}

/** The dotted options in the arguments, except those of the compilation config. */
export function dottedOptions(args: readonly string[]): readonly DottedOption[] {
  return args.flatMap((argument) => {
    const [, option, keys] = /^(--?[A-Za-z][^.=]*)(\.[^=]*)/.exec(argument) ?? [];
    if (option === undefined || keys === undefined || CONFIG_OPTIONS.includes(optionName(option))) return [];
    return [{ option, keys }];
  });
}

const CONFIG_OPTIONS = ["-cc", "--compilation-config"];

/** The error for an option that the command lacks. Misspelt options of vLLM are errors of `parseServeArguments`. */
function unknownOption(args: readonly string[], usesKwargs: boolean): VitgraphError {
  const known = usesKwargs ? [...CONFIG_OPTIONS, `--${KWARGS}`] : CONFIG_OPTIONS;
  const { option, keys } = dottedOptions(args).find(
    (dotted) => !known.includes(optionName(dotted.option)),
  ) as DottedOption;
  const name = shorten(`${option}${keys}`);
  return new VitgraphError("VG_CONFIG_INVALID", `unknown option ${name}`, {
    remedy: "remove it",
    details: { option: name },
  });
}

function optionName(name: string): string {
  return name.replaceAll("_", "-");
}

/** Most names in a note, since any file may be given. */
const MAX_LISTED = 20;
