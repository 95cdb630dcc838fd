/**
 * The language model of a checkpoint directory as a GGUF file, for llama.cpp. Everything is checked before a byte is
 * written; tensors then pass through memory a few MiB at a time, and the file appears whole or not at all.
 */
import { randomUUID } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { Checkpoint, quantMethodOf, readJsonObject, type TensorSource } from "@vitgraph/core";
import { describe, listed, toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { ggufFamily } from "../families.js";
import { encodeTensor } from "./encode-tensor.js";
import {
  encodeHeader,
  f32,
  type GgufTensor,
  i32,
  type Metadata,
  type MetadataValue,
  paddingAfter,
  string,
  TENSOR_TYPES,
  type TensorType,
  tensorBytes,
  u32,
} from "./gguf-header.js";
import { familyMetadata, type GgufFamily, layerCount, type TensorRule } from "./language-model.js";
import { checkDtype, readTensor, type Transform } from "./read-tensor.js";
import { TextConfig } from "./text-config.js";
import { readTokenizer } from "./tokenizer.js";

/** Output types by their names in llama.cpp's converter: the type of the matrices, and the file type's number. */
const OUTTYPES = {
  f32: { type: "F32", fileType: 0 },
  f16: { type: "F16", fileType: 1 },
  q8_0: { type: "Q8_0", fileType: 7 },
  bf16: { type: "BF16", fileType: 32 },
} as const satisfies Record<string, { type: TensorType; fileType: number }>;
/** A type of the matrices in GGUF, by the name of llama.cpp's converter. */
export type Outtype = keyof typeof OUTTYPES;
/** Values of `--outtype`: the type of the matrices in a GGUF. */
export const OUTTYPE_NAMES = Object.keys(OUTTYPES) as readonly Outtype[];

/** Options of the conversion to GGUF. */
export interface ConvertOptions {
  /** Type of the matrices; vectors and norms are float32 in all of them. Default "f16". */
  readonly outtype?: Outtype;
  /** Called after each write, with the bytes of the file so far and in all. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** On abort the unfinished file is removed, and the call throws VG_ABORTED. */
  readonly signal?: AbortSignal;
}

/** The file that was written. */
export interface Converted {
  readonly architecture: string;
  readonly tensors: number;
  readonly sizeBytes: number;
}

/**
 * Writes the language model of the checkpoint in `directory` to the file `output`, replacing one that is there.
 * @throws VG_MODEL_UNSUPPORTED for an unknown family, VG_MODEL_INVALID, VG_WEIGHTS_INVALID (missing and quantised tensors),
 * VG_FILE_UNREADABLE, VG_FILE_UNWRITABLE, VG_ABORTED
 */
export async function convertToGguf(
  directory: string,
  output: string,
  options: ConvertOptions = {},
): Promise<Converted> {
  const { outtype = "f16" } = options;
  const config = await readJsonObject(directory, "config.json");
  const family = ggufFamily(directory, config);
  const textConfig = TextConfig.of(directory, config, family.defaults);
  const architecture = familyMetadata(family, textConfig);
  await using checkpoint = await openCheckpoint(directory, config);
  const tensors = planTensors(checkpoint, family, textConfig, outtype);
  const metadata: Metadata = new Map([
    ...(await generalMetadata(directory, family, outtype)),
    ...architecture,
    ...(await readTokenizer(directory, config, family.tokenizer, textConfig.count("vocab_size"))),
  ]);
  const sizeBytes = await writeAtomically(output, (file) => writeGguf(file, metadata, tensors, options));
  return { architecture: family.architecture, tensors: tensors.length, sizeBytes };
}

async function generalMetadata(
  directory: string,
  { architecture }: GgufFamily,
  outtype: Outtype,
): Promise<readonly (readonly [string, MetadataValue])[]> {
  const generation = (await readJsonObject(directory, "generation_config.json", { optional: true })) ?? {};
  const sampling = (name: string, key: string, value: (number: number) => MetadataValue) =>
    typeof generation[name] === "number"
      ? [[`general.sampling.${key}`, value(generation[name])] as const]
      : [];
  return [
    ["general.architecture", string(architecture)],
    ["general.type", string("model")],
    ["general.name", string(basename(resolve(directory)))],
    ["general.file_type", u32(OUTTYPES[outtype].fileType)],
    ["general.quantization_version", u32(2)],
    ...sampling("top_k", "top_k", i32),
    ...sampling("top_p", "top_p", f32),
    ...sampling("min_p", "min_p", f32),
    ...sampling("temperature", "temp", f32),
    ...sampling("repetition_penalty", "penalty_repeat", f32),
  ];
}

// ---- which tensors

interface PlannedTensor extends GgufTensor {
  readonly source: TensorSource;
  readonly transform: Transform;
}

/** Prefixes of the language model's tensors: transformers has changed them twice. */
const PREFIXES = ["model.language_model.", "language_model.model.", "model."] as const;
const HEAD_PREFIXES = ["", "language_model."] as const;
const HEAD = "lm_head.weight";

async function openCheckpoint(
  directory: string,
  config: Readonly<Record<string, unknown>>,
): Promise<Checkpoint> {
  const method = quantMethodOf(config);
  if (method !== undefined) {
    throw new VitgraphError(
      "VG_WEIGHTS_INVALID",
      `the language model of ${directory} is quantised by ${describe(method)}`,
      {
        remedy: "use the checkpoint that it was quantised from, in bf16, f16 or f32",
        details: { directory, method },
      },
    );
  }
  return Checkpoint.open(directory, {
    part: "language model",
    names: ["embed_tokens.weight", "layers.", "norm.weight", HEAD],
    prefixes: [...PREFIXES, ...HEAD_PREFIXES],
  });
}

/** @throws VG_WEIGHTS_INVALID for a missing tensor, one of another shape, and one that would be left out */
function planTensors(
  checkpoint: Checkpoint,
  family: GgufFamily,
  config: TextConfig,
  outtype: Outtype,
): readonly PlannedTensor[] {
  const planned: PlannedTensor[] = [];
  const used = new Set<string>();
  const add = (
    { from, to, shape, toShape = shape, ...transform }: TensorRule,
    prefixes: readonly string[],
  ) => {
    const source = checkpoint.tensor(from, shape, prefixes);
    checkDtype(source);
    used.add(source.name);
    planned.push({ name: to, type: typeOf(to, toShape, outtype), shape: toShape, source, transform });
  };
  const hidden = config.count("hidden_size");
  const vocabSize = config.count("vocab_size");
  add({ from: "embed_tokens.weight", to: "token_embd.weight", shape: [vocabSize, hidden] }, PREFIXES);
  for (let index = 0; index < layerCount(config); index++)
    for (const rule of family.layer(config, index)) add(rule, PREFIXES);
  add({ from: "norm.weight", to: "output_norm.weight", shape: [hidden], ...family.norm }, PREFIXES);
  // Without an output matrix llama.cpp uses the embedding's.
  const names = new Set(checkpoint.names);
  if (
    config.value("tie_word_embeddings") !== true ||
    HEAD_PREFIXES.some((prefix) => names.has(prefix + HEAD))
  )
    add({ from: HEAD, to: "output.weight", shape: [vocabSize, hidden] }, HEAD_PREFIXES);
  checkNothingLeft(checkpoint, used);
  return planned;
}

const OF_LANGUAGE_MODEL =
  /^(model\.language_model|language_model|lm_head|model\.(layers|embed_tokens|norm))\./;
/** Buffers that old versions of transformers saved. */
const BUFFER = /\.rotary_emb\.inv_freq$/;

/** Tensors that llama.cpp does not read would change the model's results. */
function checkNothingLeft(checkpoint: Checkpoint, used: ReadonlySet<string>): void {
  const left = checkpoint.names.filter(
    (name) => OF_LANGUAGE_MODEL.test(name) && !used.has(name) && !BUFFER.test(name),
  );
  if (left.length === 0) return;
  throw new VitgraphError(
    "VG_WEIGHTS_INVALID",
    `${checkpoint.directory} has tensors of the language model that llama.cpp has no place for: ${listed(left, 3, describe)}`,
    {
      remedy: "config.json and the weights belong to different checkpoints, or adapters were not merged",
      details: { tensors: left.slice(0, 3) },
    },
  );
}

/** llama.cpp reads vectors, norms, routers and short convolutions in float32. */
function typeOf(name: string, shape: readonly number[], outtype: Outtype): TensorType {
  if (shape.length === 1 || /_norm\.weight$|\.ffn_gate_inp\.weight$|\.ssm_conv1d\.weight$/.test(name))
    return "F32";
  const { type } = OUTTYPES[outtype];
  // Like llama.cpp's converter, f16 if a row is not a whole number of blocks.
  return (shape.at(-1) as number) % TENSOR_TYPES[type].blockElements === 0 ? type : "F16";
}

// ---- writing

async function writeGguf(
  file: FileHandle,
  metadata: Metadata,
  tensors: readonly PlannedTensor[],
  { onProgress, signal }: ConvertOptions,
): Promise<number> {
  const header = encodeHeader(metadata, tensors);
  const sizes = tensors.map(tensorBytes);
  const total = sizes.reduce((sum, bytes) => sum + bytes + paddingAfter(bytes), header.length);
  let done = 0;
  const write = async (bytes: Uint8Array) => {
    await file.appendFile(bytes);
    done += bytes.length;
    onProgress?.(done, total);
  };
  await write(header);
  for (const [i, { source, transform, type }] of tensors.entries()) {
    const end = done + (sizes[i] as number);
    for await (const values of readTensor(source, transform)) {
      if (signal?.aborted === true)
        throw new VitgraphError("VG_ABORTED", "the conversion was cancelled", { cause: signal.reason });
      checkRange(values, type, source.name);
      await write(encodeTensor(values, type));
    }
    if (done !== end)
      throw new VitgraphError("VG_INTERNAL", `tensor ${describe(source.name)} has ${done} bytes, not ${end}`);
    await write(new Uint8Array(paddingAfter(sizes[i] as number)));
  }
  return done;
}

/** The largest float32 that rounds to a finite float16. */
const MAX_F16 = 65_519.996;

/** @throws VG_WEIGHTS_INVALID for a value that the type turns into infinity, or into noise for its whole block */
function checkRange(values: Float32Array, type: TensorType, name: string): void {
  const limit = type === "F16" ? MAX_F16 : type === "Q8_0" ? Number.MAX_VALUE : undefined;
  if (limit === undefined) return;
  const beyond = values.find((value) => !(Math.abs(value) <= limit));
  if (beyond === undefined) return;
  throw new VitgraphError(
    "VG_WEIGHTS_INVALID",
    `tensor ${describe(name)} has the value ${beyond}, which ${type} cannot hold`,
    { remedy: "choose --outtype bf16 or f32, which keep it", details: { tensor: name, value: beyond, type } },
  );
}

/** Writes a temporary file next to the final one, flushes and renames it. A failure removes it. */
async function writeAtomically(path: string, write: (file: FileHandle) => Promise<number>): Promise<number> {
  const temporary = `${path}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    const bytes = await writeAndFlush(temporary, write);
    await rename(temporary, path);
    return bytes;
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {});
    throw toVitgraphError(
      cause,
      "VG_FILE_UNWRITABLE",
      `cannot write ${path}`,
      "check the directory's permissions and the space on its disk",
    );
  }
}

async function writeAndFlush(path: string, write: (file: FileHandle) => Promise<number>): Promise<number> {
  await using file = await open(path, "wx");
  const bytes = await write(file);
  await file.sync();
  return bytes;
}
