/**
 * The safetensors format, read in slices and written whole: a little-endian u64 header length, a JSON header, data.
 *
 * Opening a file reads its header alone and checks all of it: a header length or an offset that lies is an error that
 * names the tensor, not a crash or a wrong tensor later.
 */
import { type FileHandle, open, rename, writeFile } from "node:fs/promises";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";

/** safetensors' dtype names, with the bytes of an element. */
export const SAFETENSORS_DTYPE_BYTES = {
  F64: 8, F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, F8_E5M2: 1, I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1,
} as const; // biome-ignore format: a table
export type SafetensorsDType = keyof typeof SAFETENSORS_DTYPE_BYTES;

export interface TensorInfo {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** The format's own limit, which keeps a damaged length from allocating gigabytes. */
const MAX_HEADER_BYTES = 100_000_000;

export class SafetensorsFile implements AsyncDisposable {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle, header: ParsedHeader) {
    this.path = path;
    this.#file = file;
    this.tensors = header.tensors;
    this.metadata = header.metadata;
  }

  /** Reads and checks the header. @throws VG_FILE_UNREADABLE, VG_WEIGHTS_INVALID */
  static async open(path: string): Promise<SafetensorsFile> {
    const file = await open(path, "r").catch((cause) => {
      throw toVitgraphError(
        cause,
        "VG_FILE_UNREADABLE",
        `cannot open ${path}`,
        "check that the file exists and can be read",
      );
    });
    try {
      return new SafetensorsFile(path, file, await readHeader(path, file));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** @throws VG_WEIGHTS_INVALID where the file has no tensor of that name. */
  tensor(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (info === undefined)
      throw damaged(this.path, `has no tensor ${name}`, "check that it is the file you meant");
    return info;
  }

  /** Reads `target.length` bytes of a tensor, from `start` on, without touching the rest. */
  async readSlice(info: TensorInfo, start: number, target: Uint8Array): Promise<void> {
    let done = 0;
    while (done < target.length) {
      const { bytesRead } = await this.#file.read(
        target,
        done,
        target.length - done,
        info.offset + start + done,
      );
      if (bytesRead === 0)
        throw damaged(this.path, `ends within tensor ${info.name}`, "the file was cut off while it was read");
      done += bytesRead;
    }
  }

  /** The whole tensor's bytes. */
  async read(name: string): Promise<{ info: TensorInfo; bytes: Uint8Array }> {
    const info = this.tensor(name);
    const bytes = new Uint8Array(info.sizeBytes);
    await this.readSlice(info, 0, bytes);
    return { info, bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

export interface TensorData {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Writes a file that appears whole or not at all: readers may be watching the name. */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, encodeSafetensors(tensors, metadata));
    await rename(temporary, path);
  } catch (cause) {
    throw toVitgraphError(
      cause,
      "VG_FILE_UNREADABLE",
      `cannot write ${path}`,
      "check the directory and its permissions",
    );
  }
}

export function encodeSafetensors(
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const entries: [string, unknown][] = Object.keys(metadata).length === 0 ? [] : [["__metadata__", metadata]];
  let size = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    entries.push([name, { dtype, shape, data_offsets: [size, size + bytes.length] }]);
    size += bytes.length;
  }
  // Not by assignment: a tensor may be called __proto__.
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const file = new Uint8Array(8 + headerBytes + size);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(json, 8);
  file.fill(0x20, 8 + json.length, 8 + headerBytes);
  let at = 8 + headerBytes;
  for (const { bytes } of tensors) {
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
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
  await file.read(length, 0, 8, 0);
  const headerBytes = Number(new DataView(length.buffer).getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES || 8 + headerBytes > size) {
    throw damaged(
      path,
      `says that its header has ${headerBytes} bytes, but the file has ${size}`,
      "it is cut off, or no safetensors file",
    );
  }
  const json = new Uint8Array(headerBytes);
  await file.read(json, 0, headerBytes, 8);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch (cause) {
    throw new VitgraphError("VG_WEIGHTS_INVALID", `${path} has a header that is not JSON`, {
      remedy: "copy or download it again",
      cause,
    });
  }
  return parseHeader(path, header, 8 + headerBytes, size);
}

function parseHeader(path: string, header: unknown, dataStart: number, fileBytes: number): ParsedHeader {
  if (!isRecord(header))
    throw damaged(path, "has a header that is not an object", "copy or download it again");
  const tensors = new Map<string, TensorInfo>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    tensors.set(name, parseTensor(path, name, entry, dataStart, fileBytes));
  }
  const metadata = isRecord(header.__metadata__) ? header.__metadata__ : {};
  return { tensors, metadata: metadata as Record<string, string> };
}

function parseTensor(
  path: string,
  name: string,
  entry: unknown,
  dataStart: number,
  fileBytes: number,
): TensorInfo {
  const fail = (problem: string) =>
    damaged(path, `tensor ${name} ${problem}`, "the file is damaged: copy or download it again");
  if (!isRecord(entry)) throw fail("is not described by an object");
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !Object.hasOwn(SAFETENSORS_DTYPE_BYTES, dtype)) {
    throw fail(`has dtype ${JSON.stringify(dtype)}, which safetensors does not know`);
  }
  if (!isCounts(shape)) throw fail(`has shape ${JSON.stringify(shape)}`);
  if (!isCounts(offsets) || offsets.length !== 2) throw fail(`has data offsets ${JSON.stringify(offsets)}`);
  const [start, end] = offsets as [number, number];
  const sizeBytes =
    shape.reduce((product, side) => product * side, 1) * SAFETENSORS_DTYPE_BYTES[dtype as SafetensorsDType];
  if (end - start !== sizeBytes)
    throw fail(`has ${end - start} bytes of data, but its shape and dtype make ${sizeBytes}`);
  if (dataStart + end > fileBytes) throw fail(`ends at byte ${dataStart + end} of a file of ${fileBytes}`);
  return { name, dtype: dtype as SafetensorsDType, shape, offset: dataStart + start, sizeBytes };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0);
}

function damaged(path: string, problem: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_WEIGHTS_INVALID", `${path} ${problem}`, { remedy, details: { path } });
}
