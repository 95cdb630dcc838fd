/** The options that every command has which loads a model, and what they mean. */
import type { CompilationConfig, ServeArguments } from "@vitgraph/config";
import { createDevice, type Device, type LoadedModel, loadModel } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { CliIo } from "../cli-io.js";

/** Where to run, and how. */
export interface DeviceOptions {
  readonly backend: "auto" | "cpu" | "cuda";
  readonly device?: number | undefined;
  readonly threads?: number;
  readonly maxBatchTokens?: number;
}

export interface ModelOptions extends DeviceOptions {
  readonly model: string;
}

export function addModelOptions(command: Command): Command {
  return addDeviceOptions(
    command.requiredOption(
      "--model <dir>",
      "directory of the checkpoint: config.json and model.safetensors, or its shards",
    ),
  );
}

export function addDeviceOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--backend <name>", "where to run").choices(["auto", "cpu", "cuda"]).default("auto"),
    )
    .option(
      "--device <ordinal>",
      "which of the GPUs that CUDA_VISIBLE_DEVICES leaves (default: the first)",
      wholeNumber,
    )
    .option("--threads <count>", "threads of the CPU backend (default: the physical cores)", positiveInteger)
    .option(
      "--max-batch-tokens <count>",
      "the largest inferred token budget: vLLM's max_num_batched_tokens (default: 16384)",
      positiveInteger,
    )
    .addHelpText("after", CONFIG_HELP);
}

// Read in front of commander, which knows no dotted options: so they are described here.
const CONFIG_HELP = `
The compilation config, in the forms that vllm serve takes; they merge:
  --compilation-config <json>, -cc <json>   as JSON
  -cc.<key>=<value>, -cc.<key>+=<a,b>       key by key
  --config <file>                           a YAML or JSON file with a compilation-config in it
  --enforce-eager                           no graphs: every batch runs eagerly`;

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value <= 0)
    throw new InvalidArgumentError("expected a positive whole number");
  return value;
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError("expected a whole number");
  return value;
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("expected a positive number");
  return value;
}

/** The configuration that was given; notes (renamed keys, keys of the language model) go to stderr. */
export function compilationConfigOf(
  { compilationConfig, enforceEager }: ServeArguments,
  io: CliIo,
): CompilationConfig {
  for (const note of compilationConfig.notes) io.stderr(`note: ${note.message}\n`);
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

/** Opens the device and the checkpoint, and gives both back together. */
export async function openModel(options: ModelOptions): Promise<OpenedModel> {
  const model = await loadModel(options.model);
  try {
    const device = openDevice(options);
    return {
      model,
      device,
      async [Symbol.asyncDispose]() {
        device[Symbol.dispose]();
        await model[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}

/** For errors that are one item's and must not end the command. */
export function messageOf(error: unknown): string {
  return VitgraphError.is(error) ? `${error.message} [${error.code}]` : String(error);
}
