/**
 * The op graph: an immutable list of nodes in A-normal form (each node's inputs precede it), its builder, and its
 * printed form. A node's value is named by the node's id; ids are positions in the list.
 */
import { VitgraphError } from "@vitgraph/errors";
import {
  OPS,
  type OpAttributes,
  type OpDefinition,
  type OpKind,
  printType,
  type ValueType,
  type WorkCounts,
} from "./ops.js";

/** Number of a value in its graph: the index of the node that computes it. */
export type ValueId = number & { readonly __value: unique symbol };

/** An op with its inputs and attributes, and the type of its one result. */
export interface Node<K extends OpKind = OpKind> {
  readonly id: ValueId;
  readonly op: K;
  /** `null` for an absent optional input. */
  readonly inputs: readonly (ValueId | null)[];
  readonly attributes: OpAttributes[K];
  readonly type: ValueType;
  /** Module path in the model, for messages and printing: "blocks.3.attn.qkv". */
  readonly name: string;
}

/** A node as a discriminated union: `node.op === "linear"` narrows the attributes. */
export type AnyNode = { [K in OpKind]: Node<K> }[OpKind];

/** A graph of ops on matrices. Nodes are in the order in which they can run. */
export interface Graph {
  readonly nodes: readonly AnyNode[];
  /** The result is one matrix: the outputs side by side, in this order. */
  readonly outputs: readonly ValueId[];
}

/** Builds a graph node by node. The `infer` function of each op checks the types of its inputs. */
export class GraphBuilder {
  readonly #nodes: AnyNode[] = [];

  add<K extends OpKind>(
    op: K,
    inputs: readonly (ValueId | null)[],
    attributes: OpAttributes[K],
    name: string,
  ): ValueId {
    const id = this.#nodes.length as ValueId;
    const types = inputs.map((input) => (input === null ? undefined : this.typeOf(input)));
    const type = (OPS[op] as OpDefinition<K>).infer(types, attributes);
    this.#nodes.push({ id, op, inputs, attributes, type, name } as unknown as AnyNode);
    return id;
  }

  /** The input of this name: the same value for each call. */
  input(name: string, type: ValueType): ValueId {
    const known = this.#nodes.find((node) => node.op === "input" && node.name === name);
    return known?.id ?? this.add("input", [], { type }, name);
  }

  weight(
    tensor: string,
    shape: readonly number[],
    load: Omit<OpAttributes["weight"], "tensor" | "shape"> = {},
  ): ValueId {
    return this.add("weight", [], { tensor, shape, ...load }, tensor);
  }

  constant(name: string, columns: number, data: Float32Array): ValueId {
    return this.add("constant", [], { name, columns, data }, name);
  }

  typeOf(id: ValueId): ValueType {
    const node = this.#nodes[id];
    if (node === undefined)
      throw new VitgraphError("VG_GRAPH_INVALID", `value %${id} is used before it is defined`);
    return node.type;
  }

  build(outputs: readonly ValueId[]): Graph {
    for (const output of outputs) this.typeOf(output);
    return { nodes: [...this.#nodes], outputs: [...outputs] };
  }
}

/** The node that defines a value. */
export function nodeOf(graph: Graph, id: ValueId): AnyNode {
  return graph.nodes[id] as AnyNode;
}

/** The number of uses of each value, outputs included. */
export function countUses(graph: Graph): readonly number[] {
  const uses = new Array<number>(graph.nodes.length).fill(0);
  const use = (id: ValueId | null) => {
    if (id !== null) uses[id] = (uses[id] ?? 0) + 1;
  };
  for (const node of graph.nodes) node.inputs.forEach(use);
  graph.outputs.forEach(use);
  return uses;
}

/** Floating-point operations of one run, without padding. */
export function graphFlops(graph: Graph, work: WorkCounts): number {
  return graph.nodes.reduce((sum, node) => sum + nodeFlops(graph, node, work), 0);
}

export function nodeFlops<K extends OpKind>(graph: Graph, node: Node<K>, work: WorkCounts): number {
  const inputs = node.inputs.map((id) => (id === null ? undefined : nodeOf(graph, id).type));
  return (OPS[node.op] as OpDefinition<K>).flops(inputs, node.type, work, node.attributes);
}

/** The graph as text, one node per line: `vitgraph print graph`. Leaves are printed where they are used. */
export function printGraph(graph: Graph): string {
  const lines: string[] = [];
  for (const node of graph.nodes) {
    if (OPS[node.op].role === "leaf") continue;
    const inputs = node.inputs.map((id) => (id === null ? "-" : printReference(nodeOf(graph, id))));
    const attributes = printAttributes(node);
    lines.push(
      `%${node.id} ${printType(node.type)} = ${node.op}(${inputs.join(", ")})` +
        `${attributes === "" ? "" : ` ${attributes}`}  # ${node.name}`,
    );
  }
  lines.push(`return ${graph.outputs.map((id) => printReference(nodeOf(graph, id))).join(", ")}`);
  return `${lines.join("\n")}\n`;
}

function printReference(node: AnyNode): string {
  return OPS[node.op].role === "leaf" ? node.name : `%${node.id}`;
}

function printAttributes<K extends OpKind>(node: Node<K>): string {
  return (OPS[node.op] as OpDefinition<K>).print(node.attributes);
}
