/**
 * The safetensors format, read in slices and written whole: a little-endian u64 header length, a JSON header, data.
 *
 * Opening a file reads only its header and checks all of it: a wrong header length or offset is an error that names the
 * tensor, not a crash or a wrong tensor later.
 */
import type { FileHandle } from "node:fs/promises";
import { describe, isRecord, scanJson, shorten, toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { writeAtomically } from "../write-atomically.js";
import { openRegularFile } from "./regular-file.js";

/** The format's dtype names, with the bits of an element. */
// biome-ignore format: a table
const SAFETENSORS_DTYPE_BITS = {
  F4: 4, F6_E2M3: 6, F6_E3M2: 6, F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8,
  F16: 16, BF16: 16, F32: 32, F64: 64, C64: 64,
  I8: 8, I16: 16, I32: 32, I64: 64, U8: 8, U16: 16, U32: 32, U64: 64, BOOL: 8,
} as const;
/** A dtype by safetensors' name: "BF16". */
export type SafetensorsDType = keyof typeof SAFETENSORS_DTYPE_BITS;

/** A tensor as the file's header describes it. */
export interface TensorInfo {
  readonly name: string;
  /** A {@link SafetensorsDType}, or the name of a dtype that a later version of the format may add. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Byte offset from the start of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** The format's limit; prevents a damaged length from allocating gigabytes. */
const MAX_HEADER_BYTES = 100_000_000;

/** Bounds the time that parsing a header blocks the event loop. A shard of a published model has some thousands. */
const MAX_TENSORS = 131_072;

/** Nesting levels: header, tensor, shape. */
const MAX_HEADER_DEPTH = 3;

/** An open safetensors file. Only its header has been read and checked; tensors are read in slices. */
export class SafetensorsFile implements AsyncDisposable {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Identifies the file's content: its size in bytes and modification time. */
  readonly version: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle, version: string, header: ParsedHeader) {
    this.path = path;
    this.version = version;
    this.#file = file;
    this.tensors = header.tensors;
    this.metadata = header.metadata;
  }

  /** Reads and checks the header. @throws VG_FILE_UNREADABLE, VG_WEIGHTS_INVALID */
  static async open(path: string): Promise<SafetensorsFile> {
    const file = await openRegularFile(
      path,
      "VG_WEIGHTS_INVALID",
      "check that the file exists and can be read",
    );
    try {
      const version = await versionOf(file);
      const header = await readHeader(path, file);
      return new SafetensorsFile(path, file, version, header);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** @throws VG_WEIGHTS_INVALID if the file has no tensor of that name. */
  tensor(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (info === undefined)
      throw damaged(this.path, `has no tensor ${describe(name)}`, "check that it is the file you meant");
    return info;
  }

  /**
   * Reads `target.length` bytes of a tensor from byte `start` on.
   * @throws VG_WEIGHTS_INVALID if the file has changed since it was opened
   */
  async readSlice(info: TensorInfo, start: number, target: Uint8Array): Promise<void> {
    const bytesRead = await readFully(this.#file, target, info.offset + start);
    if (bytesRead < target.length) {
      throw damaged(
        this.path,
        `ends within tensor ${describe(info.name)}`,
        "load it again when nothing writes to it",
      );
    }
    if ((await versionOf(this.#file)) !== this.version) {
      throw damaged(
        this.path,
        "was changed while it was open",
        "load the model again after the file is complete",
      );
    }
  }

  /** The whole tensor's bytes. */
  async read(name: string): Promise<{ info: TensorInfo; bytes: Uint8Array }> {
    const info = this.tensor(name);
    const bytes = new Uint8Array(info.sizeBytes);
    await this.readSlice(info, 0, bytes);
    return { info, bytes };
  }

  /** Closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

/** A tensor with its bytes, row-major and little-endian. */
export interface TensorData {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/**
 * Writes a file atomically, because other processes may be waiting for its name.
 * @throws VG_FILE_UNWRITABLE, with the partial file removed
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  try {
    await writeAtomically(path, safetensorsPieces(tensors.map(sourceOf), metadata));
  } catch (cause) {
    throw toVitgraphError(
      cause,
      "VG_FILE_UNWRITABLE",
      `cannot write ${path}`,
      "check the directory and its permissions",
    );
  }
}

/**
 * The whole file in one array, which Node 20 limits to 4 GiB.
 * @throws VG_ARGUMENT_INVALID for two tensors of one name, and for the name `__metadata__`, which the format reserves
 */
export function encodeSafetensors(
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const pieces = [...safetensorsPieces(tensors.map(sourceOf), metadata)];
  const file = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    file.set(piece, at);
    at += piece.length;
  }
  return file;
}

/** A tensor that computes its bytes when they are written. */
export interface LazyTensor extends Omit<TensorData, "bytes"> {
  readonly sizeBytes: number;
  bytes(): Uint8Array;
}

function sourceOf({ bytes, ...tensor }: TensorData): LazyTensor {
  return { ...tensor, sizeBytes: bytes.length, bytes: () => bytes };
}

/** Like {@link encodeSafetensors}, in pieces: for files of any size, with one tensor in memory at a time. */
export function safetensorsPieces(
  tensors: readonly LazyTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Iterable<Uint8Array> {
  const header = encodeHeader(tensors, metadata);
  return (function* () {
    yield header;
    for (const tensor of tensors) yield tensor.bytes();
  })();
}

function encodeHeader(
  tensors: readonly LazyTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  // Without a prototype, so that a tensor may be named __proto__.
  const header: Record<string, unknown> = Object.create(null);
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let size = 0;
  const names = new Set<string>();
  for (const { name, dtype, shape, sizeBytes } of tensors) {
    if (name === "__metadata__" || names.has(name)) {
      const fact =
        name === "__metadata__"
          ? "a tensor is named __metadata__"
          : `two tensors are named ${describe(name)}`;
      throw new VitgraphError("VG_ARGUMENT_INVALID", fact, {
        remedy: "give each tensor a name that no other tensor has; safetensors reserves __metadata__",
        details: { name },
      });
    }
    names.add(name);
    header[name] = { dtype, shape, data_offsets: [size, size + sizeBytes] };
    size += sizeBytes;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true);
  bytes.set(json, 8);
  bytes.fill(0x20, 8 + json.length);
  return bytes;
}

interface ParsedHeader {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
}

async function readHeader(path: string, file: FileHandle): Promise<ParsedHeader> {
  const { size } = await file.stat();
  if (size < 8)
    throw damaged(path, `has ${size} bytes, too few for a safetensors file`, "copy or download it again");
  const length = new Uint8Array(8);
  await readFully(file, length, 0);
  const headerBytes = Number(new DataView(length.buffer).getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES || 8 + headerBytes > size) {
    throw damaged(
      path,
      `gives its header ${headerBytes} bytes, but the file has ${size}`,
      "copy or download it again, and check that it is a safetensors file",
    );
  }
  const json = new Uint8Array(headerBytes);
  if ((await readFully(file, json, 8)) < headerBytes)
    throw damaged(path, "ends within its header", "load it again when nothing writes to it");
  const notJson = (cause: unknown) =>
    new VitgraphError("VG_WEIGHTS_INVALID", `${path} has a header that is not JSON`, {
      remedy: "copy or download it again",
      cause,
    });
  let text: string;
  try {
    // ignoreBOM keeps a byte order mark in the text, where JSON refuses it.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json);
  } catch (cause) {
    throw notJson(cause);
  }
  const { isTooDeep, topLevelCommas } = scanJson(text, MAX_HEADER_DEPTH);
  if (isTooDeep)
    throw damaged(
      path,
      `has a header nested more than ${MAX_HEADER_DEPTH} deep`,
      "copy or download it again",
    );
  if (topLevelCommas > MAX_TENSORS) {
    throw damaged(path, `names more than ${MAX_TENSORS} tensors`, "split the file into shards");
  }
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw notJson(cause);
  }
  if (!isRecord(header))
    throw damaged(path, "has a header that is not an object", "copy or download it again");
  // JSON.parse silently keeps the last of equal keys.
  if (Object.keys(header).length < (topLevelCommas === 0 ? 0 : topLevelCommas + 1))
    throw damaged(path, "names a tensor twice", "the file is damaged: copy or download it again");
  return parseHeader(path, header, 8 + headerBytes, size);
}

function parseHeader(
  path: string,
  header: Readonly<Record<string, unknown>>,
  dataStart: number,
  fileBytes: number,
): ParsedHeader {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    tensors.set(name, parseTensor(path, name, entry, dataStart, fileBytes));
  }
  checkContiguous(path, tensors, dataStart, fileBytes);
  const metadata = header.__metadata__ ?? {};
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === "string")) {
    throw damaged(path, "has __metadata__ that is not an object of strings", "copy or download it again");
  }
  return { tensors, metadata: metadata as Record<string, string> };
}

/** The format's rule: each byte of the data belongs to exactly one tensor. */
function checkContiguous(
  path: string,
  tensors: ReadonlyMap<string, TensorInfo>,
  dataStart: number,
  fileBytes: number,
): void {
  let end = dataStart;
  const remedy = "the file is damaged: copy or download it again";
  const inOrder = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
  for (const { name, offset, sizeBytes } of inOrder) {
    if (offset !== end) {
      const fact = offset < end ? "overlaps the tensor before it" : "begins after bytes that no tensor names";
      throw damaged(path, `tensor ${describe(name)} ${fact}`, remedy);
    }
    end += sizeBytes;
  }
  if (end !== fileBytes) throw damaged(path, `has ${fileBytes - end} bytes after its last tensor`, remedy);
}

function parseTensor(
  path: string,
  name: string,
  entry: unknown,
  dataStart: number,
  fileBytes: number,
): TensorInfo {
  const fail = (problem: string) =>
    damaged(path, `tensor ${describe(name)} ${problem}`, "the file is damaged: copy or download it again");
  if (!isRecord(entry)) throw fail("is not described by an object");
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string") throw fail(`has dtype ${describe(dtype)}`);
  if (!isCounts(shape)) throw fail(`has shape ${shorten(JSON.stringify(shape) ?? "undefined")}`);
  if (!isCounts(offsets) || offsets.length !== 2)
    throw fail(`has data offsets ${shorten(JSON.stringify(offsets) ?? "undefined")}`);
  const [start, end] = offsets as [number, number];
  const sizeBytes = end - start;
  // An unknown dtype only matters if its tensor is read: a tower's tensors are checked when they are found.
  if (Object.hasOwn(SAFETENSORS_DTYPE_BITS, dtype)) {
    const elements = shape.reduce((product, side) => product * side, 1);
    const expectedBytes = (elements * SAFETENSORS_DTYPE_BITS[dtype as SafetensorsDType]) / 8;
    if (sizeBytes !== expectedBytes)
      throw fail(`has ${sizeBytes} bytes of data, but its shape and dtype make ${expectedBytes}`);
  }
  if (sizeBytes < 0) throw fail(`has ${sizeBytes} bytes of data`);
  if (dataStart + end > fileBytes) throw fail(`ends at byte ${dataStart + end} of a file of ${fileBytes}`);
  return { name, dtype, shape, offset: dataStart + start, sizeBytes };
}

/** Returns the number of bytes read, which is less than `target.length` only at the end of the file. */
async function readFully(file: FileHandle, target: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const { bytesRead } = await file.read(target, done, target.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

async function versionOf(file: FileHandle): Promise<string> {
  const { size, mtimeNs } = await file.stat({ bigint: true });
  return `${size} ${mtimeNs}`;
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0);
}

function damaged(path: string, problem: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_WEIGHTS_INVALID", `${path} ${problem}`, { remedy, details: { path } });
}
