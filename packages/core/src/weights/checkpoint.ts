/**
 * A checkpoint's directory: config.json, preprocessor_config.json, and its tensors in one safetensors file or in
 * shards named by model.safetensors.index.json. Reads only headers here; tensors are read on demand.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  describe,
  isRecord,
  listed,
  scanJson,
  shorten,
  toVitgraphError,
  VitgraphError,
} from "@vitgraph/errors";
import { findQuantisedTensor, isPackedDtype, type ModelPart, quantisedPart } from "./quantised-tower.js";
import { openRegularFile } from "./regular-file.js";
import { SafetensorsFile, type TensorInfo } from "./safetensors.js";
import type { TensorSource } from "./tensor-source.js";

/** The tensors of one part of the model. */
export interface WantedTensors {
  /** For messages. Default: the vision tower. */
  readonly part?: ModelPart;
  /** Names without prefix. */
  readonly names: readonly string[];
  /** Possible prefixes, the usual one first. */
  readonly prefixes: readonly string[];
}

/** The first parts of the tower's tensor names: prefix and first module. */
function towerRoots(names: readonly string[], prefixes: readonly string[]): readonly string[] {
  const modules = new Set(names.map((name) => name.slice(0, name.indexOf(".") + 1)));
  return prefixes.flatMap((prefix) => [...modules].map((module) => prefix + module));
}

/**
 * An open checkpoint: its config.json and the headers of its tensors. Tensors are read on demand; close it when done.
 */
export class Checkpoint implements AsyncDisposable {
  readonly directory: string;
  readonly #files: readonly SafetensorsFile[];
  readonly #tensors: ReadonlyMap<string, TensorSource>;
  readonly #wanted: WantedTensors;
  readonly #quantMethod: string | undefined;

  private constructor(
    directory: string,
    files: readonly SafetensorsFile[],
    wanted: WantedTensors,
    quantMethod: string | undefined,
  ) {
    this.directory = directory;
    this.#wanted = wanted;
    this.#quantMethod = quantMethod;
    this.#files = files;
    this.#tensors = new Map(
      files.flatMap((file) => [...file.tensors].map(([name, info]) => [name, sourceIn(file, info)] as const)),
    );
  }

  /**
   * Names of the checkpoint's files that contain tensors of the tower, according to its index if it has one.
   * @throws VG_FILE_UNREADABLE, VG_WEIGHTS_INVALID
   */
  static fileNames(directory: string, { names, prefixes }: WantedTensors): Promise<readonly string[]> {
    return listFiles(directory, towerRoots(names, prefixes));
  }

  /**
   * Opens the files with tensors of the tower under one of the prefixes; other shards are not opened.
   * @param quantMethod config.json's name for a method of quantisation, for messages
   * @throws VG_FILE_UNREADABLE, VG_WEIGHTS_INVALID
   */
  static async open(directory: string, wanted: WantedTensors, quantMethod?: string): Promise<Checkpoint> {
    const names = await Checkpoint.fileNames(directory, wanted);
    const opened = await Promise.allSettled(names.map((name) => SafetensorsFile.open(join(directory, name))));
    const files = opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    const failure = opened.find((result) => result.status === "rejected");
    if (failure !== undefined) {
      await Promise.all(files.map((file) => file[Symbol.asyncDispose]()));
      throw failure.reason;
    }
    return new Checkpoint(directory, files, wanted, quantMethod);
  }

  /**
   * The tower's prefix, if it is not a usual one: all wanted tensors have it, and none has a usual prefix.
   * @throws VG_WEIGHTS_INVALID for two such prefixes
   */
  findForeignPrefix(): string | undefined {
    const { names, prefixes: usual } = this.#wanted;
    const first = names[0];
    const all = [...this.#tensors.keys()];
    if (first === undefined || this.#ofTower(usual).length > 0) return undefined;
    const complete = foreignPrefixes(all, first).filter((prefix) =>
      names.every((name) => this.#tensors.has(prefix + name)),
    );
    if (complete.length > 1) {
      throw new VitgraphError(
        "VG_WEIGHTS_INVALID",
        `${this.directory} has ${complete.length} vision towers, under the prefixes ${listNames(complete)}`,
        {
          remedy: `rename the tensors of one of them to ${usual[0]}`,
          details: { prefixes: complete.slice(0, MAX_LISTED) },
        },
      );
    }
    return complete[0];
  }

  /**
   * The tensor of this name under the first prefix that has it.
   * @throws VG_WEIGHTS_INVALID naming the missing tensor, or both shapes if they differ.
   */
  tensor(name: string, shape: readonly number[], prefixes: readonly string[]): TensorSource {
    const candidates = prefixes.map((prefix) => prefix + name);
    const found = candidates
      .map((candidate) => this.#tensors.get(candidate))
      .find((tensor) => tensor !== undefined);
    if (found === undefined) {
      throw this.#missing(name, candidates, prefixes);
    }
    if (isPackedDtype(found.dtype))
      throw this.#quantised(prefixes, `keeps ${describe(found.name)} as ${found.dtype}`);
    if (found.shape.length !== shape.length || found.shape.some((side, axis) => side !== shape[axis])) {
      throw new VitgraphError(
        "VG_WEIGHTS_INVALID",
        `tensor ${describe(found.name)} has shape ${shorten(`[${found.shape.join(", ")}]`)}, but config.json makes it [${shape.join(", ")}]`,
        {
          remedy: "use the config.json of the checkpoint that the weights are from",
          details: { tensor: found.name },
        },
      );
    }
    return found;
  }

  /** All tensors of the opened files, with their prefixes. */
  get names(): readonly string[] {
    return [...this.#tensors.keys()];
  }

  /** Size and modification time of each opened file. */
  get fileVersions(): readonly string[] {
    return this.#files.map(({ version }) => version);
  }

  #missing(name: string, candidates: readonly string[], prefixes: readonly string[]): VitgraphError {
    const quantised = this.#quantisedTensor(prefixes);
    if (quantised !== undefined) return this.#quantised(prefixes, `has ${describe(quantised.tensor)}`);
    // Shards that hold only foreign prefixes according to the index are not opened.
    const foreign = foreignPrefixes([...this.#tensors.keys()], name);
    return new VitgraphError(
      "VG_WEIGHTS_INVALID",
      `${this.directory} has no tensor ${candidates.join(" or ")}`,
      {
        remedy:
          foreign.length > 0
            ? `tensors of that name are under ${listNames(foreign)}, but not all of the tower's are: the checkpoint is incomplete, or config.json belongs to another`
            : "the checkpoint is incomplete, or config.json belongs to another",
        details: { tensor: name, prefixes },
      },
    );
  }

  #quantisedTensor(prefixes: readonly string[]): ReturnType<typeof findQuantisedTensor> {
    return findQuantisedTensor(this.#ofTower(prefixes));
  }

  /** Names of opened tensors that start with one of the prefixes and a first module of the tower. */
  #ofTower(prefixes: readonly string[]): readonly string[] {
    const roots = towerRoots(this.#wanted.names, prefixes);
    return [...this.#tensors.keys()].filter((name) => roots.some((root) => name.startsWith(root)));
  }

  #quantised(prefixes: readonly string[], evidence: string): VitgraphError {
    const method = this.#quantMethod ?? this.#quantisedTensor(prefixes)?.method;
    return quantisedPart(this.#wanted.part ?? "vision tower", this.directory, evidence, method);
  }

  /** Closes the files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#files.map((file) => file[Symbol.asyncDispose]()));
  }
}

/** The prefixes of tensors with this name. */
function foreignPrefixes(tensors: readonly string[], name: string): readonly string[] {
  return tensors
    .filter((tensor) => tensor === name || tensor.endsWith(`.${name}`))
    .map((tensor) => tensor.slice(0, -name.length));
}

const MAX_LISTED = 5;

const listNames = (names: readonly string[]): string => listed(names, MAX_LISTED, describe);

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

type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Reads a JSON object of the checkpoint; `undefined` if an optional file does not exist.
 * @throws VG_FILE_UNREADABLE, and VG_MODEL_INVALID for content that is not an object or exceeds the bounds
 */
export function readJsonObject(directory: string, name: string): Promise<JsonObject>;
export function readJsonObject(
  directory: string,
  name: string,
  options: { readonly optional: true },
): Promise<JsonObject | undefined>;
export async function readJsonObject(
  directory: string,
  name: string,
  { optional }: { readonly optional: boolean } = { optional: false },
): Promise<JsonObject | undefined> {
  const path = join(directory, name);
  const bytes = await readBounded(path, optional);
  if (bytes === undefined) return undefined;
  const invalid = (fact: string, remedy: string, cause?: unknown) =>
    new VitgraphError("VG_MODEL_INVALID", `${path} ${fact}`, { remedy, cause, details: { path } });
  const text = new TextDecoder().decode(bytes);
  if (scanJson(text, MAX_JSON_DEPTH).isTooDeep)
    throw invalid(`is nested more than ${MAX_JSON_DEPTH} deep`, "copy or download it again");
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw invalid("is not JSON", "copy or download it again", cause);
  }
  if (!isRecord(value)) throw invalid("is not a JSON object", "copy or download it again");
  return value;
}

/**
 * Parses Python's JSON, which allows NaN, Infinity and -Infinity. NaN becomes the string "NaN", so number checks fail.
 */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
    return JSON.parse(withoutPythonNumbers(text));
  }
}

function withoutPythonNumbers(text: string): string {
  const parts: string[] = [];
  for (let at = 0; at < text.length; ) {
    const quote = text.indexOf('"', at);
    const open = quote < 0 ? text.length : quote;
    // JSON has no infinity, but JSON.parse returns it for a number beyond float64.
    parts.push(text.slice(at, open).replaceAll("NaN", '"NaN"').replaceAll("Infinity", "1e999"));
    let close = open + 1;
    while (close < text.length && text[close] !== '"') close += text[close] === "\\" ? 2 : 1;
    parts.push(text.slice(open, close + 1));
    at = close + 1;
  }
  return parts.join("");
}

/** Undefined for an optional file that does not exist. The bound is on the file, before any of it is read. */
async function readBounded(path: string, optional: boolean): Promise<Uint8Array | undefined> {
  let file: Awaited<ReturnType<typeof openRegularFile>>;
  try {
    const remedy = "give the directory of a checkpoint, or its id on the Hugging Face hub (ORG/NAME)";
    file = await openRegularFile(path, "VG_MODEL_INVALID", remedy, "read");
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

/** An index of a model with a hundred thousand tensors has about 20 MB. */
const MAX_JSON_BYTES = 64 * 2 ** 20;

const MAX_JSON_DEPTH = 64;

const MAX_SHARDS = 1024;

const SINGLE_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";

async function listFiles(directory: string, roots: readonly string[]): Promise<readonly string[]> {
  const index = await readJsonObject(directory, INDEX_FILE, { optional: true });
  if (index === undefined) return listWithoutIndex(directory);
  const map = index.weight_map;
  if (!isRecord(map)) {
    throw new VitgraphError("VG_WEIGHTS_INVALID", `${join(directory, INDEX_FILE)} has no weight_map`, {
      remedy: "copy or download it again",
    });
  }
  const entries = Object.entries(map);
  const ofTower = entries.filter(([tensor]) => roots.some((root) => tensor.startsWith(root)));
  // Without a tensor under a known prefix, open all shards to report the tower's prefix.
  const names = [...new Set((ofTower.length > 0 ? ofTower : entries).map(([, file]) => file))];
  const wrong = names.find((name) => !isPlainName(name));
  if (wrong !== undefined || names.length > MAX_SHARDS) {
    const fact = names.length > MAX_SHARDS ? `more than ${MAX_SHARDS} files` : `the file ${describe(wrong)}`;
    throw new VitgraphError("VG_WEIGHTS_INVALID", `${join(directory, INDEX_FILE)} names ${fact}`, {
      remedy: "a shard is a .safetensors file in the checkpoint's directory, named without a path",
    });
  }
  return names as string[];
}

/** A name, not a path: an index can't refer outside its directory. A symbolic link in it may. */
function isPlainName(name: unknown): boolean {
  return typeof name === "string" && /^[^/\\\0]{1,243}\.safetensors$/.test(name);
}

/** Without an index, as in vLLM: model.safetensors, or else all safetensors files in the directory. */
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
        ? `vitgraph reads safetensors of the whole model; the directory has ${listNames(others)}`
        : "download the checkpoint's .safetensors files into it",
    details: { directory },
  });
}
