/** `vitgraph chat FILE… QUESTION`: llama.cpp's language model answers about images and videos that vitgraph encodes. */
import { existsSync } from "node:fs";
import type { ServeArguments } from "@vitgraph/config";
import type { ContentPart, GenerationResult, LlamaEngine, Message } from "@vitgraph/llama-cpp";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { CliIo } from "../cli-io.js";
import { downloadModel } from "../download-model.js";
import { checkLlm, checkMedia, inputName, isUrl } from "../files.js";
import { addHelpNotes } from "../help-notes.js";
import { type Progress, startProgress } from "../progress.js";
import { counted } from "../table.js";
import { isVideoFile, readMedia } from "./encode-inputs.js";
import { addRequiredOption, compilationConfigOf, positiveInteger, wholeNumber } from "./model-options.js";

interface ChatOptions {
  readonly llm: string;
  readonly model?: string;
  readonly system?: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed?: number;
  readonly contextSize?: number;
  readonly gpuLayers?: number;
  readonly backend: "auto" | "cpu" | "cuda";
}

export function registerChat(program: Command, io: CliIo, serving: ServeArguments): void {
  const command = program
    .command("chat")
    .description("ask a language model in llama.cpp about images and videos; streams the answer")
    .argument(
      "<file-or-question...>",
      "images and videos, files or http(s) and data URLs, and the question last",
    );
  addHelpNotes(command, HELP);
  addRequiredOption(command, "--llm <file.gguf>", "the language model: see vitgraph gguf")
    .option("--model <dir-or-id>", "checkpoint directory of the vision tower; not needed without files")
    .option("--system <text>", "the system message")
    .option("--max-tokens <count>", "tokens of the answer", positiveInteger, 512)
    .option("--temperature <number>", "0 takes the likeliest token each time", zeroOrMore, 0)
    .option("--seed <number>", "seed of the sampling: the same seed gives the same answer", wholeNumber)
    .option("--context-size <count>", "tokens of question and answer (default: 4096)", positiveInteger)
    .option("--gpu-layers <count>", "layers of the language model on a GPU (default: all)", wholeNumber)
    .addOption(
      new Option("--backend <name>", "where the vision tower runs")
        .choices(["auto", "cpu", "cuda"])
        .default("auto"),
    )
    .action((given: string[], options: ChatOptions) => {
      const question = given.at(-1) as string;
      const files = given.slice(0, -1);
      if (files.length > 0 && options.model === undefined) {
        command.error("error: files need a vision tower: add --model DIR");
      }
      const isMedia = existsSync(question) || (isUrl(question) && !/\s/.test(question));
      if (isMedia) {
        command.error(
          `error: the question is missing: ${inputName(question)} is a ${isUrl(question) ? "URL" : "file"}, and the question comes last`,
        );
      }
      const { model, ...others } = options;
      // Without files the tower is not loaded.
      const tower = files.length === 0 || model === undefined ? {} : { model };
      return chat(files, question, { ...others, ...tower }, io, serving);
    });
}

const HELP = `llama.cpp comes as a package: npm install @node-llama-cpp/linux-x64@3.22.1, or that of your platform and GPU.
The compilation config is given as for encode: -cc.<key>=<value>, --compilation-config <json>, --config <file>, whose model is used if --model is not given.`;

async function chat(
  files: readonly string[],
  question: string,
  options: ChatOptions,
  io: CliIo,
  serving: ServeArguments,
): Promise<void> {
  const compilationConfig = compilationConfigOf(serving, io);
  // Imported here, so that no other command loads llama.cpp's binding.
  const { createLlamaEngine } = await import("@vitgraph/llama-cpp");
  const { llm, model, contextSize, gpuLayers, backend } = options;
  await checkLlm(llm);
  await Promise.all(files.filter((path) => !isUrl(path)).map(checkMedia));
  if (model !== undefined) await downloadModel(model, io);
  const media = await Promise.all(
    files.map(async (path): Promise<ContentPart> => {
      // llama-cpp fetches no URLs.
      const source = isUrl(path) ? await readMedia(path, io) : path;
      return isVideoFile(path) ? { type: "video", video: source } : { type: "image", image: source };
    }),
  );
  using loading = startProgress(io, `loading ${[llm, model].filter(Boolean).join(" and ")}`);
  await using engine = await createLlamaEngine({
    model: llm,
    parallel: 1,
    ...(model === undefined ? {} : { visionModel: model, compilationConfig }),
    ...(contextSize === undefined ? {} : { contextSize }),
    ...(gpuLayers === undefined ? {} : { gpuLayers }),
    // Each image is encoded once, so warm-up would not pay.
    encoder: { backend, logger: quiet, warmUpGrids: "none" },
  });
  loading.done();

  const content: readonly ContentPart[] = [...media, { type: "text", text: question }];
  const system: readonly Message[] =
    options.system === undefined ? [] : [{ role: "system", content: options.system }];
  const work = files.length === 0 ? "reading the question" : `encoding ${counted(files.length, "file")}`;
  using reading = startProgress(io, work);
  const result = await answer(engine, [...system, { role: "user", content }], options, reading, io);
  io.stdout("\n");
  io.stderr(`${summary(result)}\n`);
}

async function answer(
  engine: LlamaEngine,
  messages: readonly Message[],
  { maxTokens, temperature, seed }: ChatOptions,
  reading: Progress,
  io: CliIo,
): Promise<GenerationResult> {
  const controller = new AbortController();
  using _ = io.onInterrupt(() => controller.abort());
  const generation = engine.chat({
    messages,
    maxTokens,
    temperature,
    signal: controller.signal,
    ...(seed === undefined ? {} : { seed }),
  });
  for await (const { text } of generation) {
    reading.done();
    io.stdout(text);
  }
  return generation.result;
}

function summary({ usage, timings }: GenerationResult): string {
  const { promptTokens, imageTokens, completionTokens } = usage;
  const { encodeMs, firstTokenMs, totalMs } = timings;
  const seconds = (milliseconds: number) => `${(milliseconds / 1000).toFixed(2)} s`;
  const perSecond = ((completionTokens - 1) * 1000) / (totalMs - firstTokenMs);
  return [
    `prompt ${counted(promptTokens, "token")} (${imageTokens} of images)`,
    `first token after ${seconds(firstTokenMs)}`,
    counted(completionTokens, "token") + (completionTokens > 1 ? ` at ${perSecond.toFixed(1)} tokens/s` : ""),
    ...(imageTokens > 0 ? [`encoder ${seconds(encodeMs)}`] : []),
  ].join(", ");
}

function zeroOrMore(text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!(value >= 0)) throw new InvalidArgumentError("expected a number from 0");
  return value;
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
