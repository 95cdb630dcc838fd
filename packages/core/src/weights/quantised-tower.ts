/** Detects a quantised part of a model, and its method, for error messages: quantised weights are not supported. */
import { describe, VitgraphError } from "@vitgraph/errors";

/** Tensor names that a quantisation method uses instead of, or in addition to, `weight`. */
const METHOD_BY_TENSOR: readonly (readonly [RegExp, string])[] = [
  [/\.weight\.(absmax|quant_map|quant_state\S*|nested_\w+)$|\.(absmax|quant_map|SCB)$/, "bitsandbytes"],
  [/\.(weight_packed|weight_global_scale|weight_shape|input_global_scale)$/, "compressed-tensors"],
  [/\.g_idx$/, "GPTQ"],
  [/\.(qweight|qzeros|scales)$/, "AWQ or GPTQ"],
  [/\.weight_scale_inv$/, "fp8 in blocks"],
  [/\.(weight_scale\w*|input_scale)$/, "fp8, ModelOpt or compressed-tensors"],
];

/** Dtypes used only for quantised matrices. */
const PACKED_DTYPES: ReadonlySet<string> = new Set([
  ...["U8", "I8", "I32", "F4", "F6_E2M3", "F6_E3M2"],
  ...["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"],
]);

export const isPackedDtype = (dtype: string): boolean => PACKED_DTYPES.has(dtype);

/** The quantisation method of these tensors, with the name of one of its tensors. */
export function findQuantisedTensor(
  names: readonly string[],
): { readonly tensor: string; readonly method: string } | undefined {
  for (const [pattern, method] of METHOD_BY_TENSOR) {
    const tensor = names.find((name) => pattern.test(name));
    if (tensor !== undefined) return { tensor, method };
  }
  return undefined;
}

/**
 * The method in the `quantization_config` of a config.json, at its top level or in `text_config`: "awq",
 * "compressed-tensors (nvfp4-pack-quantized)".
 */
export function quantMethodOf(config: Readonly<Record<string, unknown>>): string | undefined {
  for (const owner of [config, config.text_config, config.thinker_config]) {
    const { quantization_config } = (owner ?? {}) as Record<string, unknown>;
    const { quant_method: method, format } = (quantization_config ?? {}) as Record<string, unknown>;
    if (typeof method === "string") return typeof format === "string" ? `${method} (${format})` : method;
  }
  return undefined;
}

export type ModelPart = "vision tower" | "language model";

const REMEDIES: Readonly<Record<ModelPart, string>> = {
  "vision tower":
    "use a checkpoint whose vision tower is bf16, f16 or f32; the language model may be quantised",
  "language model": "use the checkpoint that it was quantised from, in bf16, f16 or f32",
};

/**
 * @param evidence a clause about the part: `has "….qweight"`
 * @param method its name in config.json, or derived from tensor names
 */
export function quantisedPart(
  part: ModelPart,
  directory: string,
  evidence: string,
  method: string | undefined,
): VitgraphError {
  const by = method === undefined ? "" : ` by ${describe(method)}`;
  return new VitgraphError(
    "VG_WEIGHTS_INVALID",
    `the ${part} of ${directory} is quantised${by}: it ${evidence}`,
    { remedy: REMEDIES[part], details: { directory, method } },
  );
}
