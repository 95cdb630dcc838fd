/** Writes ONNX models: the few messages of its protobuf that a graph needs. */
import { PbfWriter } from "pbf";

/** ONNX's numbers of the element types. */
export const FLOAT = 1;
export const INT64 = 7;

export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

/** An integer, a float where the value is `{ float }`, or integers. */
type Attribute = number | { readonly float: number } | readonly number[];

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** An input or output; a dimension by name is free. */
export interface OnnxValue {
  readonly name: string;
  readonly type: typeof FLOAT | typeof INT64;
  readonly dims: readonly (number | string)[];
}

const OPSET = 17;
const IR_VERSION = 8;

/** Collects a graph's nodes and constants, and names their results. */
export class OnnxGraph {
  readonly #nodes: OnnxNode[] = [];
  readonly #constants: OnnxTensor[] = [];

  constant(dims: readonly number[], data: Float32Array | BigInt64Array): string {
    const name = `constant${this.#constants.length}`;
    this.#constants.push({ name, dims, data });
    return name;
  }

  ints(...values: readonly number[]): string {
    return this.constant([values.length], BigInt64Array.from(values.map(BigInt)));
  }

  int(value: number): string {
    return this.constant([], BigInt64Array.of(BigInt(value)));
  }

  float(value: number): string {
    return this.constant([], Float32Array.of(value));
  }

  /** The name of the result, which may be given. */
  node(
    op: string,
    inputs: readonly string[],
    attributes: OnnxNode["attributes"] = {},
    output?: string,
  ): string {
    const name = output ?? `${op}${this.#nodes.length}`;
    this.#nodes.push({ op, inputs, outputs: [name], attributes });
    return name;
  }

  encode(inputs: readonly OnnxValue[], outputs: readonly OnnxValue[]): Uint8Array {
    const writer = new PbfWriter();
    writer.writeVarintField(1, IR_VERSION);
    writer.writeMessage(
      7,
      (_, graph) => {
        for (const node of this.#nodes) graph.writeMessage(1, writeNode, node);
        graph.writeStringField(2, "graph");
        for (const constant of this.#constants) graph.writeMessage(5, writeTensor, constant);
        for (const input of inputs) graph.writeMessage(11, writeValue, input);
        for (const output of outputs) graph.writeMessage(12, writeValue, output);
      },
      undefined,
    );
    writer.writeMessage(
      8,
      (_, opset) => {
        opset.writeStringField(1, "");
        opset.writeVarintField(2, OPSET);
      },
      undefined,
    );
    return writer.finish();
  }
}

function writeNode({ op, inputs, outputs, attributes }: OnnxNode, writer: PbfWriter): void {
  for (const input of inputs) writer.writeStringField(1, input);
  for (const output of outputs) writer.writeStringField(2, output);
  writer.writeStringField(4, op);
  for (const attribute of Object.entries(attributes)) writer.writeMessage(5, writeAttribute, attribute);
}

function writeAttribute([name, value]: readonly [string, Attribute], writer: PbfWriter): void {
  writer.writeStringField(1, name);
  if (typeof value === "number") {
    writer.writeVarintField(3, value);
    writer.writeVarintField(20, 2);
  } else if ("float" in value) {
    writer.writeFloatField(2, value.float);
    writer.writeVarintField(20, 1);
  } else {
    for (const one of value) writer.writeVarintField(8, one);
    writer.writeVarintField(20, 7);
  }
}

function writeTensor({ name, dims, data }: OnnxTensor, writer: PbfWriter): void {
  for (const dim of dims) writer.writeVarintField(1, dim);
  writer.writeVarintField(2, data instanceof Float32Array ? FLOAT : INT64);
  writer.writeStringField(8, name);
  writer.writeBytesField(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function writeValue({ name, type, dims }: OnnxValue, writer: PbfWriter): void {
  writer.writeStringField(1, name);
  writer.writeMessage(
    2,
    (_, type_) => {
      type_.writeMessage(
        1,
        (_, tensor) => {
          tensor.writeVarintField(1, type);
          tensor.writeMessage(
            2,
            (_, shape) => {
              for (const dim of dims) {
                shape.writeMessage(
                  1,
                  (_, dimension) => {
                    if (typeof dim === "number") dimension.writeVarintField(1, dim);
                    else dimension.writeStringField(2, dim);
                  },
                  undefined,
                );
              }
            },
            undefined,
          );
        },
        undefined,
      );
    },
    undefined,
  );
}
