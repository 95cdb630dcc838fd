/** Every fusion rule, by family. `compile_mm_encoder: true` runs them in this order. */
import type { RewriteRule } from "../rewrite.js";
import { fuseGemmEpilogue } from "./fuse-gemm-epilogue.js";
import { fuseRope } from "./fuse-rope.js";

export const FUSION_RULES: readonly RewriteRule[] = [...fuseGemmEpilogue, ...fuseRope];
