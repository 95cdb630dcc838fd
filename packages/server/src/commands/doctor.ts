/** `vitgraph doctor`: what was built, what was found, what would be chosen, and why not the rest. */
import { describeBackends } from "@vitgraph/core";
import type { Command } from "commander";
import type { CliIo } from "../cli-io.js";

export function registerDoctor(program: Command, io: CliIo): void {
  program
    .command("doctor")
    .description("say which backends are built and usable here, and why the others are not")
    .option("--json", "the same as JSON")
    .action(({ json }: { json?: boolean }) => doctor(json === true, io));
}
