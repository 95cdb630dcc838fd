/**
 * The command line `vitgraph`: parses, runs one command, and turns errors into text and an exit code. The commands are in
 * `commands/`, one file each; a new one is a file and a row here.
 */
import { readFileSync } from "node:fs";
import { parseServeArguments, type ServeArguments } from "@vitgraph/config";
import { parseYamlDocument } from "@vitgraph/config/yaml";
import { blockUnusedLoaders } from "@vitgraph/core";
import { nearestKey, shorten, VitgraphError } from "@vitgraph/errors";
import { raceAbort } from "@vitgraph/scheduler";
import { Command, CommanderError, Help } from "commander";
import { type CliIo, INTERRUPTED, printError } from "./cli-io.js";
import { registerBench } from "./commands/bench.js";
import { registerChat } from "./commands/chat.js";
import { registerConfig } from "./commands/config.js";
import { registerDoctor } from "./commands/doctor.js";
import { registerEncode } from "./commands/encode.js";
import { registerGguf } from "./commands/gguf.js";
import { messageOf } from "./commands/model-options.js";
import { registerPlan } from "./commands/plan.js";
import { registerPrint } from "./commands/print.js";
import { registerServe } from "./commands/serve.js";
import { registerVerify } from "./commands/verify.js";
import { readTextSync } from "./files.js";
import { createProcessIo } from "./process-io.js";
import { KWARGS, MODEL, modelArguments, reportUnused } from "./serve-options.js";

/** @param args of the command, with the model of a `--config` file */
type Register = (program: Command, io: CliIo, serving: ServeArguments, args: readonly string[]) => void;

const COMMANDS: readonly Register[] = [
  registerEncode,
  registerServe,
  registerVerify,
  registerPrint,
  registerBench,
  registerConfig,
  registerPlan,
  registerGguf,
  registerChat,
  registerDoctor,
];

/** Commands that take the compilation config, in every form of `vllm serve`. A `--config` file can also name the model. */
const CONFIGURED_COMMANDS: readonly string[] = ["encode", "serve", "verify", "print", "bench", "chat"];

/** Commands that take `--mm-processor-kwargs` too. */
const KWARGS_COMMANDS: readonly string[] = ["encode", "serve"];

/**
 * Runs `vitgraph ARGS…` and returns the exit code: 0 for success, 1 if the input or the result is wrong, 2 if the
 * command line is wrong, including its compilation config, 130 if it was interrupted. After 130 the command's work
 * may still be under way: end the process.
 */
export async function main(args: readonly string[], given?: CliIo): Promise<number> {
  // Only for the process's main program: a caller with its own streams may use sharp for other formats.
  if (given === undefined) blockUnusedLoaders();
  const io = given ?? createProcessIo();
  return run(args, io);
}

async function run(args: readonly string[], io: CliIo): Promise<number> {
  try {
    const [name = "", ...given] = args;
    const isConfigured = CONFIGURED_COMMANDS.includes(name);
    const serving = readServeArguments(isConfigured ? given : []);
    const model = isConfigured ? modelArguments(serving) : [];
    const used = [...(model.length > 0 ? [MODEL] : []), ...(KWARGS_COMMANDS.includes(name) ? [KWARGS] : [])];
    reportUnused(serving, given, used, io);
    const program = new Command("vitgraph")
      .description("A vision-encoder engine for LLM serving: images and videos in, embeddings out.")
      .version(version())
      .exitOverride()
      .configureHelp({
        // Options that collect values have an empty list as default.
        optionDescription(option) {
          return Help.prototype.optionDescription.call(this, option).replace(" (default: [])", "");
        },
      })
      .configureOutput({
        writeOut: io.stdout,
        writeErr: io.stderr,
        outputError: (text, write) => write(text.replace(/^error:/, io.style("red", "error:"))),
      })
      .showHelpAfterError("(run with --help for the options)");
    for (const register of COMMANDS) register(program, io, serving, [...model, ...given]);
    addHelpCommands(program);
    refuseRepeatedAndEmpty(program);
    // Completions are printed to the console, not to `io`.
    (await import("@bomb.sh/tab/commander")).default(program);
    const parsed = isConfigured ? [name, ...model, ...serving.rest] : args;
    await untilInterrupted(() => program.parseAsync(parsed, { from: "user" }), io);
    return io.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    // Only an interrupt cancels a command.
    if (VitgraphError.is(error) && error.code === "VG_ABORTED") {
      io.stderr("\ninterrupted\n");
      return INTERRUPTED;
    }
    printError(io, messageOf(error));
    return VitgraphError.is(error) && error.code === "VG_CONFIG_INVALID" ? 2 : 1;
  }
}

/** Runs a command. An interrupt that the command does not handle itself ends the wait for it. @throws VG_ABORTED */
async function untilInterrupted(command: () => Promise<unknown>, io: CliIo): Promise<void> {
  const controller = new AbortController();
  using _ = io.onInterrupt(() =>
    controller.abort(new VitgraphError("VG_ABORTED", "the command was interrupted")),
  );
  await raceAbort(command(), controller.signal);
}

function readServeArguments(args: readonly string[]): ServeArguments {
  const readFile = (path: string) => readTextSync(path, "check the path given to --config");
  return parseServeArguments(args, { readFile, parseYaml: parseYamlDocument });
}

/** Replaces commander's help command, which prints the general help for an unknown name, and ignores a second name. */
function addHelpCommands(command: Command): void {
  if (command.commands.length === 0) return;
  for (const subcommand of command.commands) addHelpCommands(subcommand);
  command
    .command("help")
    .description("display help for a command")
    .argument("[command...]")
    .helpOption(false)
    .action((names: readonly string[]) => commandOf(command, names).help());
}

function commandOf(parent: Command, [name, ...rest]: readonly string[]): Command {
  if (name === undefined) return parent;
  const found = parent.commands.find((command) => command.name() === name);
  if (found !== undefined) return commandOf(found, rest);
  const names = parent.commands.map((command) => command.name());
  const nearest = nearestKey(name, names);
  const hint = nearest === undefined ? "" : `\n(Did you mean ${nearest}?)`;
  return parent.error(`error: unknown command '${shorten(name)}'${hint}`);
}

/**
 * Makes a repeated option and an empty value errors. commander would silently keep the last value of a repeated option.
 * An empty value comes from a shell variable that is not set; as a path it would mean the current directory. Options that
 * collect values have a list as default, and may be repeated.
 */
function refuseRepeatedAndEmpty(command: Command): void {
  command.hook("preAction", (_, running) => {
    // explain takes any command line of vLLM.
    if (running === command && command.args.includes("") && command.name() !== "explain")
      command.error("error: an argument is empty: give a value, or leave it out");
  });
  for (const option of command.options) {
    command.on(`option:${option.name()}`, (value: unknown) => {
      if (value === "")
        command.error(
          `error: the value of option '${option.flags}' is empty: give one, or leave the option out`,
        );
    });
    if (option.isBoolean() || option.variadic || Array.isArray(option.defaultValue)) continue;
    let uses = 0;
    command.on(`option:${option.name()}`, () => {
      uses += 1;
      if (uses === 2) command.error(`error: option '${option.flags}' is given twice: give it once`);
    });
  }
  for (const subcommand of command.commands) refuseRepeatedAndEmpty(subcommand);
}

function version(): string {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
