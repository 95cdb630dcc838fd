/** All rewrite rules, by family. `compile_mm_encoder: true` runs them in this order. */
import type { RewriteRule } from "../rewrite.js";
import { foldNorms } from "./fold-norms.js";
import { fuseGemmEpilogue } from "./fuse-gemm-epilogue.js";
import { fuseRope } from "./fuse-rope.js";

export const FUSION_RULES: readonly RewriteRule[] = [...fuseGemmEpilogue, ...fuseRope];

/** Run after FUSION_RULES if the target sets `foldsNorms`. */
export const FOLDING_RULES: readonly RewriteRule[] = foldNorms;
