/**
 * A model as `benchmarks/peer/generic.py` runs it, in JSON: the op graph before fusion, and for each workload the tables that
 * the graph reads and its row counts. Neither weights nor pixels: the peer's are random.
 */
import { capacityFor, type DimCounts, type Graph, type LoadedModel, stageBatch } from "@vitgraph/core";
import { type Workload, workloadBudget, workloadItems } from "./workloads.js";

export interface PeerInput {
  readonly graph: Graph;
  readonly workloads: Readonly<Record<string, PeerWorkload>>;
}

export interface PeerWorkload {
  /** Rows of the workload's items, by dim. */
  readonly dims: DimCounts;
  /** Rows of its token budget. */
  readonly capacity: DimCounts;
  /** Row-major values of the graph's inputs by name, except pixels and their sources. */
  readonly tables: Readonly<Record<string, readonly number[]>>;
}

export function printPeerInput(model: LoadedModel, workloads: readonly Workload[]): string {
  const { graph, vision } = model;
  const types = new Map(graph.nodes.flatMap(({ op, name, type }) => (op === "input" ? [[name, type]] : [])));
  const described = workloads.map((workload): [string, PeerWorkload] => {
    const { work, inputs, patchTables } = stageBatch(vision, workloadItems(workload, model));
    const tables = [...inputs, ...patchTables()].flatMap(({ name, bytes }) => {
      const element = types.get(name)?.element;
      if (name === "patch_sources" || (element !== "i32" && element !== "f32")) return [];
      const Values = element === "i32" ? Int32Array : Float32Array;
      // A copy begins at its buffer's start.
      return [[name, Array.from(new Values(bytes.slice().buffer))] as const];
    });
    const capacity = capacityFor(vision, workloadBudget(workload, model));
    return [workload.name, { dims: work.dims, capacity, tables: Object.fromEntries(tables) }];
  });
  const input: PeerInput = { graph, workloads: Object.fromEntries(described) };
  // JSON.stringify would print the constants' typed arrays as objects.
  return `${JSON.stringify(input, (_key, value) => (value instanceof Float32Array ? Array.from(value) : value))}\n`;
}
