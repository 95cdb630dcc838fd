/**
 * Folds a norm into the matrix product after it: the product reads unnormalised rows, γ is part of its weight, and its
 * epilogue subtracts the mean and divides by the standard deviation. The product that writes the rows also
 * accumulates their statistics, so the norm needs no pass over memory.
 *
 *     norm(x) · Wᵀ + b = (x · W'ᵀ − mean · u) / σ + v,   W' = γ ⊙ W,   u = the row sums of W',   v = β · Wᵀ + b
 */
import type { AnyNode, ValueId } from "../../graph/graph.js";
import type { FoldedNorm } from "../../graph/ops.js";
import type { Match, Pattern, RewriteRule } from "../rewrite.js";

const weight = (as: string): Pattern => ({ op: "weight", as, inputs: [] });

const NORMS = {
  layernorm: { op: "layernorm", as: "norm", inputs: ["x", weight("gamma"), weight("beta")] },
  rmsnorm: { op: "rmsnorm", as: "norm", inputs: ["x", weight("gamma")] },
} as const satisfies Record<string, Pattern>;
type Norm = keyof typeof NORMS;

/** The kernels for folded norms need row starts and column counts that are multiples of this many elements. */
const ALIGNMENT = 8;

function isAligned(match: Match, value: ValueId): boolean {
  const node = match.producer(value);
  if (node.op === "slice_columns")
    return node.attributes.start % ALIGNMENT === 0 && isAligned(match, node.inputs[0]!);
  return node.type.columns % ALIGNMENT === 0;
}

/** The op that writes the rows that the norm reads, possibly through `merge_rows`. */
function writerOf(match: Match): AnyNode {
  const x = match.producer(match.value("x"));
  return x.op === "merge_rows" ? match.producer(x.inputs[0]!) : x;
}

function folds(match: Match, product: "linear" | "linear_rope", kernels: ReadonlySet<string>): boolean {
  const writer = writerOf(match);
  const { type } = match.node("product", product);
  return (
    kernels.has("linear_statistics") &&
    kernels.has(product === "linear" ? "linear_norm" : "linear_norm_rope") &&
    (writer.op === "linear" || writer.op === "linear_gather_rows") &&
    writer.attributes.activation === "none" &&
    // x, weight, bias, and the residual or gathered table; the alignment of an index does not matter.
    [writer.id, ...writer.inputs.slice(0, 4), match.value("x")].every(
      (id) => id === null || isAligned(match, id),
    ) &&
    type.columns % ALIGNMENT === 0
  );
}

function foldedInputs(match: Match, norm: Norm, build: Parameters<RewriteRule["replace"]>[1]) {
  const { attributes, name } = match.node("weight", "weight");
  const tensorOf = (as: string) => match.node(as, "weight").attributes.tensor;
  const offset = norm === "rmsnorm" ? match.node("norm", "rmsnorm").attributes.weightOffset : 0;
  const fold: Omit<FoldedNorm, "part"> = {
    norm,
    scale: tensorOf("gamma"),
    ...(offset ? { offset } : {}),
    ...(match.has("beta") ? { shift: tensorOf("beta") } : {}),
    ...(match.has("bias") ? { bias: tensorOf("bias") } : {}),
  };
  const part = (part: FoldedNorm["part"], suffix: string) =>
    build.add("weight", [], { ...attributes, folded: { ...fold, part } }, `${name}.${suffix}`);
  const writer = writerOf(match);
  const statistics = build.add("row_statistics", [writer.id], {}, `${writer.name}.statistics`);
  return [match.value("x"), part("weight", "folded"), statistics, part("u", "u"), part("v", "v")];
}

function rulesFor(norm: Norm, bias: boolean): readonly RewriteRule[] {
  const from = [NORMS[norm], weight("weight"), bias ? weight("bias") : null];
  const name = `${norm}-${bias ? "" : "without-bias-"}into`;
  return [
    {
      name: `${name}-linear`,
      match: { op: "linear", as: "product", inputs: [...from, null] },
      when: (match, kernels) => folds(match, "linear", kernels),
      replace(match, build) {
        const { attributes, name } = match.node("product", "linear");
        const { epsilon } = match.node("norm", norm).attributes;
        return build.add(
          "linear_norm",
          foldedInputs(match, norm, build),
          { ...attributes, norm, epsilon },
          name,
        );
      },
    },
    {
      name: `${name}-linear-rope`,
      match: { op: "linear_rope", as: "product", inputs: [...from, "positions", "angles"] },
      when: (match, kernels) => folds(match, "linear_rope", kernels),
      replace(match, build) {
        const { attributes, name } = match.node("product", "linear_rope");
        const { epsilon } = match.node("norm", norm).attributes;
        const inputs = [...foldedInputs(match, norm, build), match.value("positions"), match.value("angles")];
        return build.add("linear_norm_rope", inputs, { ...attributes, norm, epsilon }, name);
      },
    },
  ];
}

export const foldNorms: readonly RewriteRule[] = (["layernorm", "rmsnorm"] as const).flatMap((norm) =>
  [true, false].flatMap((bias) => rulesFor(norm, bias)),
);
