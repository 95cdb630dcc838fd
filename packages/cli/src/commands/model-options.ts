/** The options of all commands that load a model. */
import { type CompilationConfig, parseHumanReadableInteger, type ServeArguments } from "@vitgraph/config";
import { createDevice, type Device, type LoadedModel, loadModel } from "@vitgraph/core";
import { isRecord, shorten, VitgraphError } from "@vitgraph/errors";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type CliIo, printNote } from "../cli-io.js";
import { downloadModel } from "../download-model.js";
import { addHelpNotes } from "../help-notes.js";

/** The device to run on. */
export interface DeviceOptions {
  readonly backend: "auto" | "cpu" | "cuda";
  readonly device?: number | undefined;
  readonly threads?: number;
  readonly maxBatchTokens?: number;
}

export interface ModelOptions extends DeviceOptions {
  readonly model: string;
  /** Settings of the image processor, by transformers' names. */
  readonly mmProcessorKwargs?: Readonly<Record<string, unknown>>;
}

export function addModelOptions(command: Command): Command {
  // vLLM takes the model as an argument; commander would only count the arguments.
  command.allowExcessArguments().hook("preAction", () => {
    const { args, registeredArguments } = command;
    if (registeredArguments.at(-1)?.variadic) return;
    const excess = args[registeredArguments.length];
    if (excess !== undefined)
      command.error(
        `error: ${command.name()} takes no argument ${shorten(excess)}: give the model with --model`,
      );
  });
  return addDeviceOptions(
    addRequiredOption(
      command,
      "--model <dir-or-id>",
      "directory of the checkpoint: config.json and model.safetensors, or its shards; or a model's id on the Hugging Face hub, from the local cache or else downloaded",
    ),
  );
}

/** commander looks for required options before unknown ones, and would not name the typo in `--modl DIR`. */
export function addRequiredOption(command: Command, flags: string, description: string): Command {
  const option = new Option(flags, description);
  return command.addOption(option).hook("preAction", () => {
    if (command.getOptionValue(option.attributeName()) === undefined)
      command.error(`error: required option '${flags}' not specified`);
  });
}

export function addDeviceOptions(command: Command): Command {
  command
    .addOption(
      new Option("--backend <name>", "where to run").choices(["auto", "cpu", "cuda"]).default("auto"),
    )
    .option(
      "--device <ordinal>",
      "GPU to use, among those of CUDA_VISIBLE_DEVICES (default: the first)",
      wholeNumber,
    )
    .option("--threads <count>", "threads of the CPU backend (default: the physical cores)", positiveInteger)
    .option(
      "--max-batch-tokens <count>",
      "the largest inferred token budget: vLLM's max_num_batched_tokens (default: 16384)",
      positiveInteger,
    )
    .hook("preAction", () => {
      const { backend, device, threads } = command.opts<DeviceOptions>();
      if (backend === "cpu" && device !== undefined)
        command.error("error: --device has no effect with --backend cpu: leave it out");
      if (backend === "cuda" && threads !== undefined)
        command.error("error: --threads has no effect with --backend cuda: leave it out");
    });
  return addHelpNotes(command, CONFIG_HELP);
}

// These options are read before commander, which knows no dotted ones.
const CONFIG_HELP = `The compilation config, in the forms that vllm serve takes; they merge:
  --compilation-config <json>   as JSON; -cc <json> is short for it
  -cc.<key>=<value>             one key; -cc.<key>+=<a,b> appends to a list
  --config <file>               a YAML or JSON file with a compilation-config; its model is used if the command line names none
  --enforce-eager               no graphs: every batch runs eagerly`;

export function positiveInteger(text: string): number {
  const value = digits(text);
  if (!(value > 0)) throw new InvalidArgumentError("expected a positive whole number");
  return value;
}

export function wholeNumber(text: string): number {
  const value = digits(text);
  if (!(value >= 0)) throw new InvalidArgumentError("expected a whole number");
  return value;
}

/** "200000000", "200M" (of 1024² bytes) or "1.5g" (of 10⁹). */
export function byteCount(text: string): number {
  const value = parseHumanReadableInteger(text);
  if (value === undefined || value <= 0)
    throw new InvalidArgumentError("expected bytes, like 200000000, 200M or 1.5g");
  return value;
}

/** NaN for anything but decimal digits, and above the numbers that are exact. */
function digits(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

/** Parser of an option that may be repeated. */
export function append(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value];
}

/** An object as JSON, such as `--mm-processor-kwargs` takes. */
export function jsonObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (!isRecord(value))
    throw new InvalidArgumentError("expected a JSON object, such as '{\"max_pixels\": 1003520}'");
  return value;
}

/** Red, green and blue from 0 to 255. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** "#ffffff" or "255,255,255". */
export function rgbColor(text: string): Rgb {
  const hex = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text);
  const decimal = /^(\d{1,3}),\s*(\d{1,3}),\s*(\d{1,3})$/.exec(text);
  const channels = (hex ?? decimal ?? [])
    .slice(1)
    .map((part) => Number.parseInt(part, hex === null ? 10 : 16));
  if (channels.length !== 3 || channels.some((channel) => channel > 255))
    throw new InvalidArgumentError("expected a colour, such as '#ffffff' or '255,255,255'");
  return channels as unknown as Rgb;
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("expected a positive number");
  return value;
}

/** The given configuration; its notes (renamed keys, keys of the language model) go to stderr. */
export function compilationConfigOf(
  { compilationConfig, enforceEager }: ServeArguments,
  io: CliIo,
): CompilationConfig {
  for (const note of compilationConfig.notes) printNote(io, note.message);
  const { config } = compilationConfig;
  return enforceEager ? { ...config, cudagraph_mm_encoder: false } : config;
}

export interface OpenedModel extends AsyncDisposable {
  readonly model: LoadedModel;
  readonly device: Device;
}

/** @throws VG_BACKEND_UNAVAILABLE */
export function openDevice({ backend, device, threads }: DeviceOptions): Device {
  return createDevice({
    backend,
    ...(device === undefined ? {} : { device }),
    ...(threads === undefined ? {} : { threads }),
  });
}

/** Opens the device and the checkpoint; both are disposed together. The model's notes go to stderr. */
export async function openModel(options: ModelOptions, io: CliIo): Promise<OpenedModel> {
  const { mmProcessorKwargs } = options;
  await downloadModel(options.model, io);
  const model = await loadModel(options.model, mmProcessorKwargs === undefined ? {} : { mmProcessorKwargs });
  try {
    for (const note of model.notes) printNote(io, note);
    const device = openDevice(options);
    return {
      model,
      device,
      async [Symbol.asyncDispose]() {
        // The model too, if the device fails.
        await using _ = model;
        device[Symbol.dispose]();
      },
    };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}

/** Parameters of the library that remedies name, and the options that set them here. */
const OPTIONS_BY_PARAMETER = new Map([
  ["maxPixels", "--max-pixels"],
  ["maxBatchTokens", "--max-batch-tokens"],
  ["maxDecodeBytes", "--max-decode-bytes"],
  ["mmProcessorKwargs", "--mm-processor-kwargs"],
  ["numFrames", "num_frames"],
  ["contextSize", "--context-size"],
  ["gpuLayers", "--gpu-layers"],
  ["proxyUrl", "--register"],
  ["instanceUrl", "--instance-url"],
]);

/** An error's text and code. An error of any other kind is a bug, and comes with its stack. */
export function messageOf(error: unknown): string {
  if (!VitgraphError.is(error))
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const text = error.message.replace(/\b[a-z]+[A-Z]\w+/g, (word) => OPTIONS_BY_PARAMETER.get(word) ?? word);
  return `${text} [${error.code}]`;
}
