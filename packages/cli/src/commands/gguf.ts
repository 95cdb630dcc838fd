/** `vitgraph gguf DIR`: the language model of a checkpoint as a GGUF file, so that one directory gives llama.cpp both halves. */
import { basename, resolve } from "node:path";
import type { Outtype } from "@vitgraph/llama-cpp";
import { type Command, Option } from "commander";
import type { CliIo } from "../cli-io.js";
import { checkOutput, outputPath } from "../files.js";
import { addHelpNotes } from "../help-notes.js";
import { startProgress } from "../progress.js";

const OUTTYPES: readonly Outtype[] = ["f32", "f16", "bf16", "q8_0"];

interface GgufOptions {
  readonly outtype: Outtype;
  readonly output?: string;
}

export function registerGguf(program: Command, io: CliIo): void {
  const command = program
    .command("gguf")
    .description("convert the language model of a checkpoint to GGUF, for llama.cpp")
    .argument("<dir>", "checkpoint directory: config.json, safetensors, the tokenizer's files")
    .addOption(
      new Option("--outtype <type>", "type of the matrices; vectors and norms stay f32")
        .choices(OUTTYPES)
        .default("f16"),
    )
    .option(
      "--output <file.gguf>",
      "the file to write (default: the directory's name and the type, here)",
      outputPath(".gguf"),
    )
    .action((directory: string, options: GgufOptions) => gguf(directory, options, io));
  addHelpNotes(command, HELP);
}

const HELP =
  "docs/llama-cpp.md lists the models that can be converted. The file has no vision tower: vitgraph runs it from the checkpoint directory. A q8_0 file is about half the size of bf16; f16 has the size of bf16.";

async function gguf(directory: string, { outtype, output }: GgufOptions, io: CliIo): Promise<void> {
  const path = output ?? `${basename(resolve(directory))}-${outtype}.gguf`;
  await checkOutput(path);
  // Imported here, so that no other command loads llama.cpp's binding.
  const { convertToGguf } = await import("@vitgraph/llama-cpp");
  const controller = new AbortController();
  using _ = io.onInterrupt(() => controller.abort());
  using progress = startProgress(io, `writing ${path}`);
  const { architecture, tensors, sizeBytes } = await convertToGguf(directory, path, {
    outtype,
    onProgress: progress.update,
    signal: controller.signal,
  });
  progress.done();
  io.stdout(`${path}: ${architecture}, ${tensors} tensors, ${sizeBytes} bytes\n`);
}
