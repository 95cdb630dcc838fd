/** The compiler's pipeline, graph → fused → plan → program. Every stage is kept, so that it can be printed. */
import type { Program } from "@vitgraph/cuda-kernels";
import type { Graph } from "../graph/graph.js";
import { lower } from "./lower.js";
import { type Capacity, type MemoryPlan, planMemory, type Target, type WeightDTypes } from "./memory-plan.js";
import { type RewriteResult, type RewriteStep, removeDead, rewrite } from "./rewrite.js";
import { shareStatistics } from "./row-statistics.js";
import { FOLDING_RULES, FUSION_RULES } from "./rules/index.js";

export interface CompileOptions {
  /** `compile_mm_encoder`: run the fusion rules. Without them each op becomes one kernel; the result is the same. */
  readonly fuse: boolean;
  readonly target: Target;
  readonly weightDTypes: WeightDTypes;
}

/** A model fused for a target, shared by all of its programs. */
export interface CompiledGraph {
  readonly source: Graph;
  readonly fused: Graph;
  readonly trace: readonly RewriteStep[];
  /** Makes the program for one capacity. Weights have the same addresses in all programs. */
  program(capacity: Capacity): { plan: MemoryPlan; program: Program };
}

/** Folding comes after all fusions: what writes and reads rows is known only then. */
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
