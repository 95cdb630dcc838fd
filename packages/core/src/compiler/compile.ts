/** The compiler pipeline: graph → fused graph → memory plan → program. Keeps every stage for printing. */
import type { Program } from "@vitgraph/cuda-kernels";
import type { Graph } from "../graph/graph.js";
import { lower } from "./lower.js";
import { type Capacity, type MemoryPlan, planMemory, type Target, type WeightDTypes } from "./memory-plan.js";
import { type RewriteResult, type RewriteStep, removeDead, rewrite } from "./rewrite.js";
import { shareStatistics } from "./row-statistics.js";
import { FOLDING_RULES, FUSION_RULES } from "./rules/index.js";

/** Options of the compiler: fusion, the target device, and the dtypes of the weights. */
export interface CompileOptions {
  /** `compile_mm_encoder`: run the fusion rules. Otherwise each op becomes one kernel. The results are equal. */
  readonly fuse: boolean;
  readonly target: Target;
  readonly weightDTypes: WeightDTypes;
}

/** A model fused for a target, shared by all of its programs. */
export interface CompiledGraph {
  readonly source: Graph;
  readonly fused: Graph;
  readonly trace: readonly RewriteStep[];
  /** Compiles the program for one capacity. Weights have the same addresses in all programs. */
  program(capacity: Capacity): { plan: MemoryPlan; program: Program };
}

/** Norms are folded after all fusions, because only then the kernels that write and read the rows are known. */
function fuseFor(source: Graph, { kernels, foldsNorms }: Target): RewriteResult {
  const fused = rewrite(source, FUSION_RULES, kernels);
  if (foldsNorms !== true) return fused;
  const folded = rewrite(fused.graph, FOLDING_RULES, kernels);
  return { graph: shareStatistics(folded.graph), trace: [...fused.trace, ...folded.trace] };
}

/**
 * Rewrites a model's graph and lowers it for a target's kernels. Needs no device. The program of a token budget is made from
 * the result.
 */
export function compile(graph: Graph, { fuse, target, weightDTypes }: CompileOptions): CompiledGraph {
  const source = removeDead(graph);
  const { graph: fused, trace } = fuse ? fuseFor(source, target) : { graph: source, trace: [] };
  return {
    source,
    fused,
    trace,
    program(capacity) {
      const plan = planMemory(fused, capacity, target, weightDTypes);
      return { plan, program: lower(fused, plan) };
    },
  };
}
