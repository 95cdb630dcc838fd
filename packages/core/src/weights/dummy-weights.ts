/**
 * Random weights, for measuring a tower without its checkpoint. Seeded: the same graph and seed give the same bytes on
 * every machine.
 *
 * The values of different tensors are not independent: all tensors read one table of normal values, from different
 * offsets. Thus generating a gigabyte takes about as long as copying it.
 */
import type { Graph } from "../graph/graph.js";
import { f32ToBf16 } from "../numerics.js";
import type { TensorSource } from "./tensor-source.js";
import { weightSource } from "./weight-source.js";

/** transformers' `initializer_range`. */
const STANDARD_DEVIATION = 0.02;

/**
 * Prime, so that no two rows of a matrix start at the same offset. With 2²⁰, every 1024th row of 1024 columns is equal.
 */
const TABLE_LENGTH = 1_048_573;

/**
 * A bf16 source for each tensor of the graph (float32 for tensors that are always float32): normal values with standard
 * deviation 0.02 and mean 0, or mean 1 for the scales of norms.
 */
export function dummyWeights(graph: Graph, seed = 0): ReadonlyMap<string, TensorSource> {
  const values = normalTable(seed);
  const aroundZero = bytesOf(values, 0);
  const aroundOne = bytesOf(values, 1);
  const sources = new Map<string, TensorSource>();
  for (const node of graph.nodes) {
    if (node.op !== "weight") continue;
    const { tensor, shape, stored = shape, literal, cosSinTable, appended } = node.attributes;
    if (literal !== undefined) {
      sources.set(tensor, weightSource(node.attributes, []));
      continue;
    }
    const table = isNormScale(tensor, shape) ? aroundOne : aroundZero;
    const random = (sides: readonly number[]) =>
      repeating(tensor, sides, table, mix(seed, node.id) % TABLE_LENGTH);
    const made = cosSinTable || appended ? weightSource(node.attributes, [random(stored)]) : random(shape);
    sources.set(tensor, made);
  }
  return sources;
}

/** A norm's scale is the only vector that transformers calls `weight`; those of linear layers are matrices. */
function isNormScale(tensor: string, shape: readonly number[]): boolean {
  return shape.length === 1 && tensor.endsWith(".weight");
}

function repeating(
  name: string,
  shape: readonly number[],
  table: Uint8Array,
  firstElement: number,
): TensorSource {
  return {
    name,
    dtype: "BF16",
    shape,
    sizeBytes: 2 * shape.reduce((product, side) => product * side, 1),
    async readSlice(start, target) {
      let from = (2 * firstElement + start) % table.length;
      for (let done = 0; done < target.length; from = 0) {
        const part = table.subarray(from, from + target.length - done);
        target.set(part, done);
        done += part.length;
      }
    },
  };
}

function bytesOf(values: Float32Array, mean: number): Uint8Array {
  const bits = f32ToBf16(values.map((value) => mean + STANDARD_DEVIATION * value));
  return new Uint8Array(bits.buffer);
}

/** Standard normal values by the Box–Muller method; a value depends only on the seed and its index. */
function normalTable(seed: number): Float32Array {
  return Float32Array.from({ length: TABLE_LENGTH }, (_, index) => {
    // + 1 keeps the argument of the logarithm above 0.
    const radius = Math.sqrt(-2 * Math.log((mix(seed, 2 * index) + 1) / 2 ** 32));
    return radius * Math.cos((2 * Math.PI * mix(seed, 2 * index + 1)) / 2 ** 32);
  });
}

/** 32 random bits for a counter: the finaliser of MurmurHash3, which spreads neighbouring counters. */
function mix(seed: number, counter: number): number {
  let bits = (Math.imul(seed + 1, 0x9e3779b1) + counter) | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
