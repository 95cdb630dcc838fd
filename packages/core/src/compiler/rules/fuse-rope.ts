/** The rotations of query and key become one pass over the packed projection, and attention reads views of it. */
import type { RewriteRule } from "../rewrite.js";

const rotated = (as: string, slice: string) => ({
  op: "rope" as const,
  as,
  inputs: [{ op: "slice_columns" as const, as: slice, inputs: ["qkv"] }, "positions", "angles"],
});

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
];
