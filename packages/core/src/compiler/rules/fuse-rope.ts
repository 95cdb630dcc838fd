/**
 * Fuses RoPE of query and key into one pass over the packed projection (attention reads views of it), and then fuses
 * that pass into the projection's epilogue.
 */
import type { Match, Pattern, RewriteRule } from "../rewrite.js";

const ropeOfSlice = (as: string, slice: string) => ({
  op: "rope" as const,
  as,
  inputs: [{ op: "slice_columns" as const, as: slice, inputs: ["qkv"] }, "positions", "angles"],
});

const weight = (as: string): Pattern => ({ op: "weight", as, inputs: [] });

/**
 * The epilogue rotates adjacent columns, so the weight's rows are loaded in interleaved RoPE layout. Query-key products
 * do not change, because queries and keys have the same column order.
 */
const linearRope = (name: string, bias: Pattern | null): RewriteRule => ({
  name,
  match: {
    op: "rope_qk",
    as: "rope",
    inputs: [
      { op: "linear", as: "linear", inputs: ["x", weight("weight"), bias, null] },
      "positions",
      "angles",
    ],
  },
  when(match, kernels) {
    const { attributes } = match.node("linear", "linear");
    return kernels.has("linear_rope") && attributes.activation === "none" && headSizeOf(match) % 8 === 0;
  },
  replace(match, build) {
    const { attributes, type } = match.node("rope", "rope_qk");
    const paired = (as: string) => {
      const { attributes, name } = match.node(as, "weight");
      const pairedRows = { rows: (type.columns / 3) * 2, headSize: headSizeOf(match) };
      return build.add("weight", [], { ...attributes, pairedRows }, `${name}.paired`);
    };
    const inputs = [match.value("x"), paired("weight"), bias === null ? null : paired("bias")];
    return build.add(
      "linear_rope",
      [...inputs, match.value("positions"), match.value("angles")],
      attributes,
      match.node("linear", "linear").name,
    );
  },
});

function headSizeOf(match: Match): number {
  const { attributes, type } = match.node("rope", "rope_qk");
  return type.columns / 3 / attributes.heads;
}

export const fuseRope: readonly RewriteRule[] = [
  {
    name: "rope-qk",
    match: {
      op: "attention",
      as: "attention",
      inputs: [
        ropeOfSlice("rope_q", "q"),
        ropeOfSlice("rope_k", "k"),
        { op: "slice_columns", as: "v", inputs: ["qkv"] },
        "cu_seqlens",
      ],
    },
    when(match, kernels) {
      const [q, k, v] = ["q", "k", "v"].map((name) => match.node(name, "slice_columns").attributes);
      const { heads } = match.node("attention", "attention").attributes;
      // The slices must be the thirds of the projection in the order q, k, v, with equal head counts.
      return (
        kernels.has("rope_qk") &&
        q!.start === 0 &&
        k!.start === q!.count &&
        v!.start === 2 * q!.count &&
        k!.count === q!.count &&
        v!.count === q!.count &&
        match.node("rope_q", "rope").attributes.heads === heads &&
        match.node("rope_k", "rope").attributes.heads === heads
      );
    },
    replace(match, build) {
      const { attributes, name } = match.node("attention", "attention");
      const { heads } = attributes;
      const rotated = build.add(
        "rope_qk",
        [match.value("qkv"), match.value("positions"), match.value("angles")],
        { heads },
        `${name}.rope`,
      );
      const [q, k, v] = ["q", "k", "v"].map((part) => {
        const slice = match.node(part, "slice_columns");
        return build.add("slice_columns", [rotated], slice.attributes, slice.name);
      });
      return build.add("attention", [q!, k!, v!, match.value("cu_seqlens")], attributes, name);
    },
  },
  linearRope("linear-rope", weight("bias")),
  linearRope("linear-rope-without-bias", null),
];
