/** Fuses elementwise ops after a matrix product into its epilogue; each saves a pass over memory. */
import type { RewriteRule } from "../rewrite.js";

export const fuseGemmEpilogue: readonly RewriteRule[] = [
  {
    name: "linear-activation",
    match: {
      op: "activation",
      as: "activation",
      inputs: [{ op: "linear", as: "linear", inputs: ["x", "weight", "bias?", null] }],
    },
    when: (match) => match.node("linear", "linear").attributes.activation === "none",
    replace(match, build) {
      const { inputs, name } = match.node("linear", "linear");
      const { attributes } = match.node("activation", "activation");
      return build.add("linear", inputs, { activation: attributes.function }, name);
    },
  },
  {
    // Must precede linear-residual, which also matches but needs the gathered rows in memory.
    name: "linear-gather-rows",
    match: {
      op: "add",
      as: "add",
      commutative: true,
      inputs: [
        { op: "gather_rows", as: "gathered", inputs: ["table", "index"] },
        { op: "linear", as: "linear", inputs: ["x", "weight", "bias?", null] },
      ],
    },
    when: (_, kernels) => kernels.has("linear_gather_rows"),
    replace(match, build) {
      const { inputs, attributes, name } = match.node("linear", "linear");
      const [x, weight, bias = null] = inputs;
      return build.add(
        "linear_gather_rows",
        [x!, weight!, bias, match.value("table"), match.value("index")],
        attributes,
        name,
      );
    },
  },
  {
    // Valid for every activation: the epilogue adds the residual after it.
    name: "linear-residual",
    match: {
      op: "add",
      as: "add",
      commutative: true,
      inputs: ["residual", { op: "linear", as: "linear", inputs: ["x", "weight", "bias?", null] }],
    },
    replace(match, build) {
      const { inputs, attributes, name } = match.node("linear", "linear");
      const [x, weight, bias = null] = inputs;
      return build.add("linear", [x!, weight!, bias, match.value("residual")], attributes, name);
    },
  },
];
