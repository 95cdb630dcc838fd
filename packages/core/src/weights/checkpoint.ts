/**
 * A checkpoint's directory: config.json, preprocessor_config.json, and its tensors in one safetensors file or in
 * shards named by model.safetensors.index.json. Only headers are read here; tensors stay on disk until they are asked for.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { openRegularFile } from "./regular-file.js";
import { SafetensorsFile, type TensorInfo } from "./safetensors.js";
import type { TensorSource } from "./tensor-source.js";
import { quote, scanJson } from "./untrusted-json.js";

export class Checkpoint implements AsyncDisposable {
  readonly directory: string;
  readonly #quantisation: string | undefined;
  readonly #files: readonly SafetensorsFile[];
  readonly #tensors: ReadonlyMap<string, TensorSource>;
  readonly #fileVersions: readonly string[];

  private constructor(
    directory: string,
    files: readonly SafetensorsFile[],
    quantisation: string | undefined,
  ) {
    this.directory = directory;
    this.#quantisation = quantisation;
    this.#files = files;
    this.#fileVersions = files.map(({ version }) => version);
    this.#tensors = new Map(
      files.flatMap((file) => [...file.tensors].map(([name, info]) => [name, sourceIn(file, info)] as const)),
    );
  }

  /**
   * Opens the files that hold tensors under one of the prefixes; shards without any are not touched.
   * @param quantisation what config.json calls the method, for the error about a quantised tower
   * @throws VG_FILE_UNREADABLE, VG_WEIGHTS_INVALID
   */
  static async open(
    directory: string,
    prefixes: readonly string[],
    quantisation?: string,
  ): Promise<Checkpoint> {
    const names = await listFiles(directory, prefixes);
    const opened = await Promise.allSettled(names.map((name) => SafetensorsFile.open(join(directory, name))));
    const files = opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const failure = opened.find((result) => result.status === "rejected");
    if (failure !== undefined) {
      await Promise.all(files.map((file) => file[Symbol.asyncDispose]()));
      throw failure.reason;
    }
    return new Checkpoint(directory, files, quantisation);
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
      throw this.#missing(name, candidates, prefixes);
    }
    if (PACKED_DTYPES.has(found.dtype))
      throw this.#quantisedTower(found.name, `keeps ${quote(found.name)} as ${found.dtype}`);
    if (found.shape.length !== shape.length || found.shape.some((side, axis) => side !== shape[axis])) {
      throw new VitgraphError(
        "VG_WEIGHTS_INVALID",
        `tensor ${quote(found.name)} has shape ${quote(`[${found.shape.join(", ")}]`)}, but config.json makes it [${shape.join(", ")}]`,
        {
          remedy: "config.json and the weights belong to different checkpoints",
          details: { tensor: found.name },
        },
      );
    }
    return found;
  }

  /**
   * The one prefix under which all of these tensors are, if none of them is under a known prefix. Undefined without such a
   * prefix, and with several.
   */
  foreignPrefix(names: readonly string[], prefixes: readonly string[]): string | undefined {
    const [first] = names;
    const isKnown = names.some((name) => prefixes.some((prefix) => this.#tensors.has(prefix + name)));
    if (first === undefined || isKnown) return undefined;
    const fitting = this.#prefixesOf(first).filter((prefix) =>
      names.every((name) => this.#tensors.has(prefix + name)),
    );
    return fitting.length === 1 ? fitting[0] : undefined;
  }

  /** Prefixes under which there is a tensor of this name. */
  #prefixesOf(name: string): readonly string[] {
    const found = [...this.#tensors.keys()].filter((tensor) => tensor.endsWith(`.${name}`));
    return found.map((tensor) => tensor.slice(0, -name.length));
  }

  #quantisedTower(tensor: string, evidence: string): VitgraphError {
    const parts = [...this.#tensors.keys()].filter((name) => name.startsWith(tensor));
    const method = this.#quantisation ?? parts.map(methodByTensor).find((name) => name !== undefined);
    return new VitgraphError(
      "VG_WEIGHTS_INVALID",
      `the vision tower of ${this.directory} is quantised${method === undefined ? "" : ` by ${quote(method)}`}: it ${evidence}`,
      {
        remedy:
          "use a checkpoint whose vision tower is bf16, f16 or f32; the language model may be quantised",
        details: { directory: this.directory, method },
      },
    );
  }

  /** Size and time of the last change of each opened file. */
  get fileVersions(): readonly string[] {
    return this.#fileVersions;
  }

  #missing(name: string, candidates: readonly string[], prefixes: readonly string[]): VitgraphError {
    const quantised = [...this.#tensors.keys()].find(
      (tensor) => prefixes.some((prefix) => tensor.startsWith(prefix)) && QUANTISED_TENSOR.test(tensor),
    );
    if (quantised !== undefined) return this.#quantisedTower(quantised, `has ${quote(quantised)}`);
    const foreign = this.#prefixesOf(name).slice(0, 5);
    return new VitgraphError(
      "VG_WEIGHTS_INVALID",
      `${this.directory} has no tensor ${candidates.join(" or ")}`,
      {
        remedy:
          foreign.length > 0
            ? `it has one under ${quote(foreign.join(", "))}, where others of the tower's are missing: rename the tower's tensors to ${prefixes[0]}`
            : "the checkpoint is incomplete, or config.json belongs to another",
        details: { tensor: name, prefixes },
      },
    );
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
  const bytes = await readBounded(path, options.optional ?? false);
  if (bytes === undefined) return undefined;
  const invalid = (fact: string, remedy: string, cause?: unknown) =>
    new VitgraphError("VG_MODEL_INVALID", `${path} ${fact}`, { remedy, cause, details: { path } });
  if (scanJson(bytes).depth > MAX_JSON_DEPTH)
    throw invalid(`is nested more than ${MAX_JSON_DEPTH} deep`, "copy or download it again");
  const text = new TextDecoder().decode(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const number = /[:[,]\s*(-?Infinity|NaN)/.exec(text)?.[1];
    if (number !== undefined)
      throw invalid(`is not JSON: it has ${number}`, "write a finite number or null in its place", cause);
    throw invalid("is not JSON", "copy or download it again", cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new VitgraphError("VG_MODEL_INVALID", `${path} is not a JSON object`, {
      remedy: "copy or download it again",
    });
  }
  return value as Record<string, unknown>;
}

/** Undefined for an optional file that does not exist. The bound is on the file, before any of it is read. */
async function readBounded(path: string, optional: boolean): Promise<Uint8Array | undefined> {
  let file: Awaited<ReturnType<typeof openRegularFile>>;
  try {
    file = await openRegularFile(
      path,
      "VG_MODEL_INVALID",
      "--model wants the directory of a checkpoint",
      "read",
    );
  } catch (error) {
    const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
    if (optional && cause?.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const { size } = await file.stat();
    if (size > MAX_JSON_BYTES) {
      throw new VitgraphError("VG_MODEL_INVALID", `${path} has ${size} bytes, above ${MAX_JSON_BYTES}`, {
        remedy: "copy or download it again",
        details: { path, size },
      });
    }
    return await file.readFile();
  } catch (cause) {
    throw toVitgraphError(cause, "VG_FILE_UNREADABLE", `cannot read ${path}`, "check its permissions");
  } finally {
    await file.close();
  }
}

/** Names that AWQ, GPTQ, bitsandbytes and compressed-tensors give to the parts of a quantised matrix. */
const QUANTISED_TENSOR =
  /\.(qweight|qzeros|scales|g_idx|weight_packed|weight_scale\w*|weight_scale_inv|weight_global_scale|input_scale|absmax|quant_map|quant_state\S*|SCB)$|\.weight\.(absmax|quant_map|quant_state\S*|nested_\w+)$/;

/** Dtypes in which only quantised matrices are kept. */
const PACKED_DTYPES: ReadonlySet<string> = new Set([
  "U8", "I8", "I32", "F4", "F6_E2M3", "F6_E3M2", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
]); // biome-ignore format: a table

/** Whose names these are, where config.json does not say. */
function methodByTensor(tensor: string): string | undefined {
  if (/\.(qweight|qzeros|g_idx)$/.test(tensor)) return "AWQ or GPTQ";
  if (/\.(weight_packed|weight_global_scale)$/.test(tensor)) return "compressed-tensors";
  if (/absmax|quant_map|quant_state|nested_|\.SCB$/.test(tensor)) return "bitsandbytes";
  return undefined;
}

/** "awq", "compressed-tensors (nvfp4-pack-quantized)": `quantization_config` of a config.json. */
export function quantisationOf(config: Readonly<Record<string, unknown>>): string | undefined {
  const { quant_method: method, format } = (config.quantization_config ?? {}) as Record<string, unknown>;
  if (typeof method !== "string") return undefined;
  return typeof format === "string" ? `${method} (${format})` : method;
}

/** An index of a model with a hundred thousand tensors has about 20 MB. */
const MAX_JSON_BYTES = 64 * 2 ** 20;

const MAX_JSON_DEPTH = 64;

const MAX_SHARDS = 1024;

const SINGLE_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";

async function listFiles(directory: string, prefixes: readonly string[]): Promise<readonly string[]> {
  const index = await readJsonObject(directory, INDEX_FILE, { optional: true });
  if (index === undefined) return listWithoutIndex(directory);
  const map = index.weight_map;
  if (typeof map !== "object" || map === null) {
    throw new VitgraphError("VG_WEIGHTS_INVALID", `${join(directory, INDEX_FILE)} has no weight_map`, {
      remedy: "copy or download it again",
    });
  }
  const entries = Object.entries(map);
  const ofTower = entries.filter(([tensor]) => prefixes.some((prefix) => tensor.startsWith(prefix)));
  // Without a tensor under a known prefix all shards are opened, to say under which prefix the tower is.
  const names = [...new Set((ofTower.length > 0 ? ofTower : entries).map(([, file]) => file))];
  const wrong = names.find((name) => !isPlainName(name));
  if (wrong !== undefined || names.length > MAX_SHARDS) {
    const fact = names.length > MAX_SHARDS ? `more than ${MAX_SHARDS} files` : `the file ${quote(wrong)}`;
    throw new VitgraphError("VG_WEIGHTS_INVALID", `${join(directory, INDEX_FILE)} names ${fact}`, {
      remedy: "a shard is a .safetensors file in the checkpoint's directory, named without a path",
    });
  }
  return names as string[];
}

/** A name, not a path: an index can't point out of its directory. A symbolic link there may. */
function isPlainName(name: unknown): boolean {
  return typeof name === "string" && /^[^/\\\0]{1,243}\.safetensors$/.test(name);
}

/** As vLLM does: the one file, or else all safetensors files that are there. */
async function listWithoutIndex(directory: string): Promise<readonly string[]> {
  const files = await readdir(directory).catch((cause) => {
    throw toVitgraphError(cause, "VG_FILE_UNREADABLE", `cannot read ${directory}`, "check its permissions");
  });
  if (files.includes(SINGLE_FILE)) return [SINGLE_FILE];
  // An adapter holds differences from weights, and a consolidated file the same weights under other names.
  const shards = files.filter((file) => isPlainName(file) && !/^(adapter|consolidated)/.test(file)).sort();
  if (shards.length > 0 && shards.length <= MAX_SHARDS) return shards;
  const others = files.filter((file) => /\.(bin|gguf|pth?|safetensors|onnx|ckpt)$/.test(file)).sort();
  throw new VitgraphError("VG_FILE_UNREADABLE", `${directory} has no ${SINGLE_FILE} and no shards of it`, {
    remedy:
      others.length > 0
        ? `vitgraph reads safetensors of the whole model; the directory has ${quote(others.join(", "))}`
        : "download the checkpoint's .safetensors files into it",
    details: { directory },
  });
}
