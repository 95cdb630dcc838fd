/**
 * The command line `vitgraph`: parses, runs one command, and turns errors into text and an exit code. The commands
 * themselves are in `commands/`, one file each; adding one is a file and a row here.
 */
import { readFileSync } from "node:fs";
import { parseServeArguments, type ServeArguments } from "@vitgraph/config";
import { parseYamlDocument } from "@vitgraph/config/yaml";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { Command, CommanderError } from "commander";
import type { CliIo } from "./cli-io.js";
import { registerBench } from "./commands/bench.js";
import { registerConfig } from "./commands/config.js";
import { registerDoctor } from "./commands/doctor.js";
import { registerEncode } from "./commands/encode.js";
import { registerPlan } from "./commands/plan.js";
import { registerPrint } from "./commands/print.js";
import { registerVerify } from "./commands/verify.js";

/** @param args the command line as it was given, the command's name apart */
type Register = (program: Command, io: CliIo, serving: ServeArguments, args: readonly string[]) => void;

const COMMANDS: readonly Register[] = [
  registerEncode,
  registerVerify,
  registerPrint,
  registerBench,
  registerConfig,
  registerPlan,
  registerDoctor,
];

/** Commands that load a model take the compilation config in every form that `vllm serve` does. */
const CONFIGURED_COMMANDS: readonly string[] = ["encode", "verify", "print", "bench"];

/** Runs `vitgraph ARGS…` and returns the exit code: 0 done, 1 something was wrong, 2 the command line itself was. */
export async function main(args: readonly string[], io: CliIo = processIo()): Promise<number> {
  try {
    const [name = "", ...given] = args;
    const serving = readServeArguments(CONFIGURED_COMMANDS.includes(name) ? given : []);
    const program = new Command("vitgraph")
      .description(
        "A vision-encoder engine for LLM serving: images in, the embeddings of a Qwen3-VL tower out.",
      )
      .version(version())
      .exitOverride()
      .configureOutput({ writeOut: io.stdout, writeErr: io.stderr })
      .showHelpAfterError("(run with --help for the options)");
    for (const register of COMMANDS) register(program, io, serving, given);
    await program.parseAsync(CONFIGURED_COMMANDS.includes(name) ? [name, ...serving.rest] : args, {
      from: "user",
    });
    return io.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    io.stderr(`${explain(error)}\n`);
    return 1;
  }
}

function readServeArguments(args: readonly string[]): ServeArguments {
  const readFile = (path: string) => {
    try {
      return readFileSync(path, "utf8");
    } catch (cause) {
      throw toVitgraphError(
        cause,
        "VG_FILE_UNREADABLE",
        `cannot read ${path}`,
        "check the path given to --config",
      );
    }
  };
  return parseServeArguments(args, { readFile, parseYaml: parseYamlDocument });
}

/** A vitgraph error is its text and code; anything else is a bug, and comes with its stack. */
function explain(error: unknown): string {
  if (VitgraphError.is(error)) return `error: ${error.message} [${error.code}]`;
  return `error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

function processIo(): CliIo {
  return {
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    color: process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
    env: process.env,
    exitCode: 0,
  };
}

function version(): string {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
