/**
 * Fuses RoPE of query and key into one pass over the packed projection, of which attention reads views, and then that
 * pass into the projection's epilogue.
 */
import type { Match, Pattern, RewriteRule } from "../rewrite.js";

const rotated = (as: string, slice: string) => ({
  op: "rope" as const,
  as,
  inputs: [{ op: "slice_columns" as const, as: slice, inputs: ["qkv"] }, "positions", "angles"],
});

const weight = (as: string): Pattern => ({ op: "weight", as, inputs: [] });

/**
 * The epilogue turns neighbouring columns, so the weight's rows are loaded with the two of a pair beside each other. The
 * products of queries and keys stay what they were, since both are in the same order.
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
        rotated("rope_q", "q"),
        rotated("rope_k", "k"),
        { op: "slice_columns", as: "v", inputs: ["qkv"] },
        "cu_seqlens",
      ],
    },
    when(match, kernels) {
      const [q, k, v] = ["q", "k", "v"].map((name) => match.node(name, "slice_columns").attributes);
      const { heads } = match.node("attention", "attention").attributes;
      // Only where the three slices are the thirds of the projection in this order, with as many heads each.
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
      const turned = build.add(
        "rope_qk",
        [match.value("qkv"), match.value("positions"), match.value("angles")],
        { heads },
        `${name}.rope`,
      );
      const [q, k, v] = ["q", "k", "v"].map((part) => {
        const slice = match.node(part, "slice_columns");
        return build.add("slice_columns", [turned], slice.attributes, slice.name);
      });
      return build.add("attention", [q!, k!, v!, match.value("cu_seqlens")], attributes, name);
    },
  },
  linearRope("linear-rope", weight("bias")),
  linearRope("linear-rope-without-bias", null),
];
