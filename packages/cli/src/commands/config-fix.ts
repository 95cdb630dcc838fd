/** `vitgraph config fix`: applies unambiguous fixes to the text of config files. */
import { chmod, realpath, stat } from "node:fs/promises";
import { applyFix, type ConfigFinding, formatPlace, type LintFacts, mergeFixes } from "@vitgraph/config";
import { fileFindings } from "@vitgraph/config/yaml";
import { VitgraphError } from "@vitgraph/errors";
import type { Command } from "commander";
import { type CliIo, printError } from "../cli-io.js";
import { decodeUtf8, expandGlobs, inputName, readInput, STDIN, writeOutput } from "../files.js";
import { addFactOptions, type FactOptions, findingCounts, lintFacts } from "./config-findings.js";
import { messageOf } from "./model-options.js";

interface FixOptions extends FactOptions {
  readonly dryRun?: true;
}

export function registerConfigFix(config: Command, io: CliIo): void {
  const command = config.command("fix");
  command
    .description(
      "apply unambiguous fixes to config files; comments and layout are kept; exits with 1 if errors remain",
    )
    .argument("<file...>", "YAML or JSON files, or globs")
    .option("--dry-run", "print the changes as a diff, and write nothing");
  addFactOptions(command).action((files: string[], options: FixOptions) => fix(files, options, io));
}

async function fix(files: readonly string[], options: FixOptions, io: CliIo): Promise<void> {
  const facts = await lintFacts(options, io);
  /** An error of one file is printed, and the others are still fixed. */
  const attempt = async (work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      if (!VitgraphError.is(error)) throw error;
      printError(io, messageOf(error));
      io.exitCode = 1;
    }
  };
  for (const given of files)
    await attempt(async () => {
      for (const file of await expandGlobs([given])) await attempt(() => fixFile(file, facts, options, io));
    });
}

async function fixFile(file: string, facts: LintFacts, { dryRun }: FixOptions, io: CliIo): Promise<void> {
  const name = inputName(file);
  const text = await readConfigText(file, io);
  const { fixed, applied, left } = fixText(text, name, facts);
  if (left.some(({ severity }) => severity === "error")) io.exitCode = 1;
  if (fixed !== text) {
    if (dryRun === true) {
      const { createTwoFilesPatch } = await import("diff");
      io.stdout(createTwoFilesPatch(name, name, text, fixed, undefined, undefined, { context: 3 }));
    } else {
      // Writing replaces the file: the target of a link, with the same permissions.
      const path = await realpath(file);
      const { mode } = await stat(path);
      await writeOutput(path, fixed, io);
      await chmod(path, mode);
    }
  }
  // With --dry-run stdout is only the diff, so that patch(1) can read it.
  const print = dryRun === true ? io.stderr : io.stdout;
  for (const finding of applied)
    print(
      `${formatPlace(finding)}: ${dryRun ? "would fix" : "fixed"}: ${finding.message}: ${finding.fix.title}\n`,
    );
  print(`${name}: ${applied.length} fixed, ${findingCounts(left)} left\n`);
}

/** The file's text, byte order mark included. @throws VG_FILE_UNREADABLE */
async function readConfigText(file: string, io: CliIo): Promise<string> {
  if (file === STDIN) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "standard input cannot be fixed", {
      remedy: "give a file",
    });
  }
  return decodeUtf8(file, await readInput(file, io, "check the path"));
}

type Fixable = ConfigFinding & Required<Pick<ConfigFinding, "fix">>;

/** One fix may lead to the next: a key with its right name has a value to check. A longer chain is a bug. */
const MAX_ROUNDS = 20;

interface FixedText {
  readonly fixed: string;
  /** Fixed findings, with places in the text in which they were found. */
  readonly applied: readonly Fixable[];
  readonly left: readonly ConfigFinding[];
}

function fixText(text: string, source: string, facts: LintFacts): FixedText {
  const applied: Fixable[] = [];
  let fixed = text;
  for (let round = 0; ; round++) {
    const findings = fileFindings({ name: source, text: fixed }, facts);
    const fixable = findings.filter((finding): finding is Fixable => finding.fix !== undefined);
    if (fixable.length === 0 || round === MAX_ROUNDS) return { fixed, applied, left: findings };
    const edits = mergeFixes(fixable.map((finding) => finding.fix));
    const before = fixed;
    fixed = applyFix(before, { title: "all", edits });
    if (fixed === before) return { fixed, applied, left: findings };
    // Other fixes overlap these; they are found again in the next round if they still apply.
    applied.push(...fixable.filter((finding) => finding.fix.edits.every((edit) => edits.includes(edit))));
  }
}
