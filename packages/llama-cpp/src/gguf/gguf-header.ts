/**
 * The header of a GGUF file, version 3: magic, metadata, and the type, shape and offset of each tensor. Little-endian; the
 * tensors' bytes follow, each at a multiple of 32. Shapes here are in PyTorch's order, the fastest dimension last; the
 * file has them reversed.
 */

/** GGUF's number of each tensor type, and the elements and bytes of a block. */
export const TENSOR_TYPES = {
  F32: { id: 0, blockElements: 1, blockBytes: 4 },
  F16: { id: 1, blockElements: 1, blockBytes: 2 },
  Q8_0: { id: 8, blockElements: 32, blockBytes: 34 },
  BF16: { id: 30, blockElements: 1, blockBytes: 2 },
} as const;
export type TensorType = keyof typeof TENSOR_TYPES;

export interface GgufTensor {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
}

/** A value of the metadata, with the type that it is written in. */
export type MetadataValue =
  | { readonly type: "u32" | "i32" | "f32"; readonly value: number | readonly number[] }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string | readonly string[] };
export type Metadata = ReadonlyMap<string, MetadataValue>;

export const u32 = (value: number): MetadataValue => ({ type: "u32", value });
export const i32 = (value: number | readonly number[]): MetadataValue => ({ type: "i32", value });
export const f32 = (value: number | readonly number[]): MetadataValue => ({ type: "f32", value });
export const bool = (value: boolean): MetadataValue => ({ type: "bool", value });
export const string = (value: string | readonly string[]): MetadataValue => ({ type: "string", value });

const VALUE_TYPE_IDS = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8 } as const;
const ARRAY_TYPE_ID = 9;
const ALIGNMENT = 32;
const VERSION = 3;

/** Bytes of zeros between the end of `bytes` and the next tensor. */
export const paddingAfter = (bytes: number): number => (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT;

/** Without padding. The last dimension must be a multiple of the type's block. */
export function tensorBytes({ type, shape }: GgufTensor): number {
  const { blockElements, blockBytes } = TENSOR_TYPES[type];
  return (shape.reduce((product, side) => product * side, 1) / blockElements) * blockBytes;
}

/** Everything before the first tensor, padding included. The tensors follow in this order, each with its padding. */
export function encodeHeader(metadata: Metadata, tensors: readonly GgufTensor[]): Uint8Array {
  const writer = new ByteWriter();
  writer.text("GGUF");
  writer.u32(VERSION);
  writer.u64(tensors.length);
  writer.u64(metadata.size);
  for (const [key, value] of metadata) writeValue(writer, key, value);
  let offset = 0;
  for (const tensor of tensors) {
    writer.string(tensor.name);
    writer.u32(tensor.shape.length);
    for (const side of tensor.shape.toReversed()) writer.u64(side);
    writer.u32(TENSOR_TYPES[tensor.type].id);
    writer.u64(offset);
    const bytes = tensorBytes(tensor);
    offset += bytes + paddingAfter(bytes);
  }
  writer.zeros(paddingAfter(writer.length));
  return writer.bytes();
}

function writeValue(writer: ByteWriter, key: string, { type, value }: MetadataValue): void {
  writer.string(key);
  const one = (element: number | boolean | string) => {
    if (typeof element === "string") writer.string(element);
    else if (typeof element === "boolean") writer.u8(element ? 1 : 0);
    else if (type === "f32") writer.f32(element);
    else writer.u32(element);
  };
  if (typeof value !== "object") {
    writer.u32(VALUE_TYPE_IDS[type]);
    one(value);
    return;
  }
  writer.u32(ARRAY_TYPE_ID);
  writer.u32(VALUE_TYPE_IDS[type]);
  writer.u64(value.length);
  for (const element of value) one(element);
}

/** Bytes that grow: a vocabulary has some 300 000 strings. */
class ByteWriter {
  #bytes = Buffer.alloc(64 * 1024);
  length = 0;

  /** Room for `count` more bytes; returns where they start. */
  #take(count: number): number {
    const start = this.length;
    this.length += count;
    if (this.length > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(this.length, this.#bytes.length * 2));
      this.#bytes.copy(larger);
      this.#bytes = larger;
    }
    return start;
  }

  // #take may replace the buffer, so it runs before #bytes is read.
  u8(value: number): void {
    const at = this.#take(1);
    this.#bytes.writeUInt8(value, at);
  }

  /** Signed values too: as two's complement. */
  u32(value: number): void {
    const at = this.#take(4);
    this.#bytes.writeUInt32LE(value >>> 0, at);
  }

  u64(value: number): void {
    const at = this.#take(8);
    this.#bytes.writeBigUInt64LE(BigInt(value), at);
  }

  f32(value: number): void {
    const at = this.#take(4);
    this.#bytes.writeFloatLE(value, at);
  }

  text(value: string): void {
    const at = this.#take(Buffer.byteLength(value));
    this.#bytes.write(value, at);
  }

  string(value: string): void {
    this.u64(Buffer.byteLength(value));
    this.text(value);
  }

  zeros(count: number): void {
    const at = this.#take(count);
    this.#bytes.fill(0, at, at + count);
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}
