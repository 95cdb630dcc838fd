/**
 * A checkpoint's directory: config.json, preprocessor_config.json, and its tensors in one safetensors file or in
 * shards named by model.safetensors.index.json. Only headers are read here; tensors stay on disk until they are asked for.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { SafetensorsFile, type TensorInfo } from "./safetensors.js";
import type { TensorSource } from "./tensor-source.js";

export class Checkpoint implements AsyncDisposable {
  readonly directory: string;
  readonly #files: readonly SafetensorsFile[];
  readonly #tensors: ReadonlyMap<string, TensorSource>;

  private constructor(directory: string, files: readonly SafetensorsFile[]) {
    this.directory = directory;
    this.#files = files;
    this.#tensors = new Map(
      files.flatMap((file) => [...file.tensors].map(([name, info]) => [name, sourceIn(file, info)] as const)),
    );
  }

  /**
   * Opens the files that hold tensors under one of the prefixes; shards without any are not touched.
   * @throws VG_FILE_UNREADABLE, VG_WEIGHTS_INVALID
   */
  static async open(directory: string, prefixes: readonly string[]): Promise<Checkpoint> {
    const names = await listFiles(directory, prefixes);
    const opened = await Promise.allSettled(names.map((name) => SafetensorsFile.open(join(directory, name))));
    const files = opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const failure = opened.find((result) => result.status === "rejected");
    if (failure !== undefined) {
      await Promise.all(files.map((file) => file[Symbol.asyncDispose]()));
      throw failure.reason;
    }
    return new Checkpoint(directory, files);
  }

  /**
   * The tensor of this name under the first prefix that has it.
   * @throws VG_WEIGHTS_INVALID naming what is missing, or both shapes where they differ.
   */
  tensor(name: string, shape: readonly number[], prefixes: readonly string[]): TensorSource {
    const candidates = prefixes.map((prefix) => prefix + name);
    const found = candidates
      .map((candidate) => this.#tensors.get(candidate))
      .find((tensor) => tensor !== undefined);
    if (found === undefined) {
      throw new VitgraphError(
        "VG_WEIGHTS_INVALID",
        `${this.directory} has no tensor ${candidates.join(" or ")}`,
        {
          remedy: "the checkpoint is incomplete, or config.json belongs to another",
          details: { tensor: name, prefixes },
        },
      );
    }
    if (found.shape.length !== shape.length || found.shape.some((side, axis) => side !== shape[axis])) {
      throw new VitgraphError(
        "VG_WEIGHTS_INVALID",
        `tensor ${found.name} has shape [${found.shape.join(", ")}], but config.json makes it [${shape.join(", ")}]`,
        {
          remedy: "config.json and the weights belong to different checkpoints",
          details: { tensor: found.name },
        },
      );
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#files.map((file) => file[Symbol.asyncDispose]()));
  }
}

function sourceIn(file: SafetensorsFile, info: TensorInfo): TensorSource {
  const { name, dtype, shape, sizeBytes } = info;
  return {
    name,
    dtype,
    shape,
    sizeBytes,
    readSlice: (start, target) => file.readSlice(info, start, target),
  };
}

/** Reads a JSON object of the checkpoint; `undefined` where an optional file does not exist. */
export async function readJsonObject(
  directory: string,
  name: string,
  options: { optional?: boolean } = {},
): Promise<Record<string, unknown> | undefined> {
  const path = join(directory, name);
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (options.optional && cause.code === "ENOENT") return undefined;
    throw toVitgraphError(
      cause,
      "VG_FILE_UNREADABLE",
      `cannot read ${path}`,
      "--model wants the directory of a checkpoint",
    );
  });
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new VitgraphError("VG_MODEL_INVALID", `${path} is not JSON`, {
      remedy: "copy or download it again",
      cause,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new VitgraphError("VG_MODEL_INVALID", `${path} is not a JSON object`, {
      remedy: "copy or download it again",
    });
  }
  return value as Record<string, unknown>;
}

const SINGLE_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";

async function listFiles(directory: string, prefixes: readonly string[]): Promise<readonly string[]> {
  const index = await readJsonObject(directory, INDEX_FILE, { optional: true });
  if (index === undefined) return [SINGLE_FILE];
  const map = index.weight_map;
  if (typeof map !== "object" || map === null) {
    throw new VitgraphError("VG_WEIGHTS_INVALID", `${join(directory, INDEX_FILE)} has no weight_map`, {
      remedy: "copy or download it again",
    });
  }
  const names = Object.entries(map)
    .filter(([tensor]) => prefixes.some((prefix) => tensor.startsWith(prefix)))
    .map(([, file]) => String(file));
  return [...new Set(names)];
}
