// Generated from schema/compilation-config.source.json by `pnpm generate`. Do not edit: change the schema and generate again.

/**
 * A compilation config as it is written: every key is optional.
 */
export interface CompilationConfigInput {
  /**
   * Path of this schema, for editors. It is dropped before the config is used; vLLM refuses the key.
   */
  readonly $schema?: string;
  /**
   * Compile the multimodal encoder: fusion rules run over its op graph. If off, every op is lowered to its own kernel. Both give the same embeddings within rounding.
   */
  readonly compile_mm_encoder?: boolean;
  /**
   * Capture the whole encoder forward as one graph for each token budget, and replay it. If off, every batch runs eagerly.
   */
  readonly cudagraph_mm_encoder?: boolean;
  /**
   * Capacities, in output tokens (after the merge), for which graphs are captured. A batch is replayed in the smallest budget that holds it. Empty: powers of two times the model's smallest budget, up to its largest.
   *
   * @maxItems 1024
   */
  readonly encoder_cudagraph_token_budgets?: readonly number[];
  /**
   * Most images and videos in one batch. 0: inferred as the model's largest budget divided by its smallest, and at most the smallest token budget.
   */
  readonly encoder_cudagraph_max_vision_items_per_batch?: number;
  /**
   * Most video frames in one batch, over all its items; every frame is its own attention segment, and an image is one frame. Null: items per batch times frames per video. 0: no videos in graphs.
   */
  readonly encoder_cudagraph_max_frames_per_batch?: number | null;
  /**
   * Print a line for each batch: items, tokens, budget and waste. vitgraph's own, from vLLM's first pull request; vLLM refuses it.
   */
  readonly encoder_cudagraph_verbose?: boolean;
  /**
   * @deprecated
   * Old name of encoder_cudagraph_max_vision_items_per_batch, accepted here; vLLM refuses it since April 2026.
   */
  readonly encoder_cudagraph_max_images_per_batch?: number | null;
  /**
   * @deprecated
   * The first pull request split the encoder at its attention ops and captured the pieces. vitgraph captures the whole forward, so only false is accepted, and changes nothing.
   */
  readonly encoder_cudagraph_piecewise?: false;
  /**
   * @deprecated
   * Sizes, in output tokens, of the first pull request's piecewise graphs. vitgraph has none, so only null or an empty list is accepted; token budgets are in the same unit.
   *
   * @maxItems 0
   */
  readonly encoder_cudagraph_capture_sizes?: readonly number[] | null;
  /**
   * @deprecated
   * Patches along one side of a merged token. The checkpoint's config.json has the value, and this key is only compared with it.
   */
  readonly encoder_spatial_merge_size?: number | null;
  /**
   * How torch.compile is applied to the language model, by name or by number. Null: VLLM_COMPILE when the optimization level is above 0, else NONE.
   */
  readonly mode?: null | "NONE" | "STOCK_TORCH_COMPILE" | "DYNAMO_TRACE_ONCE" | "VLLM_COMPILE" | 0 | 1 | 2 | 3;
  /**
   * Directory into which traced graphs are dumped.
   */
  readonly debug_dump_path?: string | null;
  /**
   * Directory of the compile cache. Empty: vLLM's own directory, named by the hash of the config.
   */
  readonly cache_dir?: string;
  /**
   * How the compile cache is saved. The default follows VLLM_COMPILE_CACHE_SAVE_FORMAT where that is set.
   */
  readonly compile_cache_save_format?: "binary" | "unpacked";
  /**
   * Backend of torch.compile. Empty: the platform's own. With mode VLLM_COMPILE only "", eager or inductor; otherwise any Dynamo backend, or the qualified name of a function.
   */
  readonly backend?: string;
  /**
   * Which of vLLM's custom ops are on: 'all' or 'none' as the base, then '+op' and '-op'.
   */
  readonly custom_ops?: readonly string[];
  /**
   * Wrap vLLM's IR ops as torch custom ops. Null: true for VLLM_COMPILE with inductor, else false.
   */
  readonly ir_enable_torch_wrap?: boolean | null;
  /**
   * Ops kept out of piecewise graphs. Null: the attention ops. Empty: none.
   */
  readonly splitting_ops?: readonly string[] | null;
  /**
   * Sizes for which inductor specialises, or "cudagraph_capture_sizes" for those.
   */
  readonly compile_sizes?: readonly (number | "cudagraph_capture_sizes")[] | null;
  /**
   * Ends of the ranges of token counts for which inductor compiles a graph each.
   */
  readonly compile_ranges_endpoints?: readonly number[] | null;
  /**
   * Options that are passed to inductor unchanged.
   */
  readonly inductor_compile_config?: Readonly<Record<string, unknown>>;
  /**
   * Further inductor passes: name → qualified name of the function.
   */
  readonly inductor_passes?: Readonly<Record<string, string>>;
  /**
   * Which graphs of the language model are captured. Null: by optimization level. In vLLM, NONE also switches the encoder's graphs off, silently.
   */
  cudagraph_mode?:
    null | "NONE" | "PIECEWISE" | "FULL" | "FULL_DECODE_ONLY" | "FULL_AND_PIECEWISE" | 0 | 1 | 2;
  /**
   * Runs before a graph is captured.
   */
  readonly cudagraph_num_of_warmups?: number;
  /**
   * Batch sizes, in tokens, for which the language model's graphs are captured. Null: inferred.
   */
  readonly cudagraph_capture_sizes?: readonly number[] | null;
  /**
   * Copy a graph's inputs to its own buffers. Only for PIECEWISE.
   */
  readonly cudagraph_copy_inputs?: boolean;
  /**
   * Capture separate graphs for batches with and without active LoRA adapters.
   */
  readonly cudagraph_specialize_lora?: boolean;
  /**
   * Split the graph when inductor generates code, rather than before.
   */
  readonly use_inductor_graph_partition?: boolean | null;
  readonly pass_config?: PassConfigInput;
  /**
   * Largest of the language model's capture sizes. Null: the smaller of twice max_num_seqs and 512.
   */
  readonly max_cudagraph_capture_size?: number | null;
  readonly dynamic_shapes_config?: DynamicShapesConfigInput;
  /**
   * Start mixture-of-experts models faster, assuming that only this model runs, with its experts in order. Null: on, except with speculative decoding.
   */
  readonly fast_moe_cold_start?: boolean | null;
}
/**
 * Which of vLLM's inductor passes run.
 */
export interface PassConfigInput {
  /**
   * Fuse RMSNorm with quantisation. Unset (null), the optimization level decides.
   */
  readonly fuse_norm_quant?: boolean | null;
  /**
   * Fuse SiLU-and-multiply with quantisation. Unset (null), the optimization level decides.
   */
  readonly fuse_act_quant?: boolean | null;
  /**
   * Fuse attention with quantisation. Unset (null), the optimization level decides.
   */
  readonly fuse_attn_quant?: boolean | null;
  /**
   * Remove ops that change nothing. The fusions with quantisation count on it.
   */
  readonly eliminate_noops?: boolean | null;
  /**
   * Use sequence parallelism. Unset (null), the optimization level decides.
   */
  readonly enable_sp?: boolean | null;
  /**
   * Overlap matrix products with tensor-parallel communication. Unset (null), the optimization level decides.
   */
  readonly fuse_gemm_comms?: boolean | null;
  /**
   * Fuse all-reduce with RMSNorm. Unset (null), the optimization level decides.
   */
  readonly fuse_allreduce_rms?: boolean | null;
  /**
   * Fuse the RMSNorm of queries and keys with rotary embedding. Unset (null), the optimization level decides.
   */
  readonly enable_qk_norm_rope_fusion?: boolean | null;
  /**
   * Fuse rotary embedding with the cache update of latent attention. Unset (null), the optimization level decides.
   */
  readonly fuse_rope_kvcache_cat_mla?: boolean | null;
  /**
   * Fuse RMSNorm with padding (ROCm). Unset (null), the optimization level decides.
   */
  readonly fuse_act_padding?: boolean | null;
  /**
   * Fuse the query and key-value RMSNorms of latent attention (ROCm). Unset (null), the optimization level decides.
   */
  readonly fuse_mla_dual_rms_norm?: boolean | null;
  /**
   * Fuse rotary embedding with the cache update (ROCm). Unset (null), the optimization level decides.
   */
  readonly fuse_rope_kvcache?: boolean | null;
  /**
   * Fuse the RMSNorm of queries and keys, rotary embedding and the cache update (ROCm). Unset (null), the optimization level decides.
   */
  readonly fuse_qk_norm_rope_kvcache?: boolean | null;
  /**
   * Batches above this many tokens run the RoPE and cache update unfused.
   */
  readonly rope_kvcache_fusion_max_token_num?: number;
  /**
   * Largest tensor, in megabytes, for the fused all-reduce. Null: by device and world size.
   */
  readonly fi_allreduce_fusion_max_size_mb?: number | null;
  /**
   * Fewest tokens for which sequence parallelism is used. Null: by device and world size.
   */
  readonly sp_min_token_num?: number | null;
}
/**
 * How torch.compile treats shapes that vary.
 */
export interface DynamicShapesConfigInput {
  /**
   * How sizes that vary are traced.
   */
  readonly type?: "backed" | "unbacked" | "backed_size_oblivious";
  /**
   * Debug mode: fail when a dynamic shape is specialised.
   */
  readonly evaluate_guards?: boolean;
  /**
   * Assume that tensor sizes fit 32-bit indices.
   */
  readonly assume_32_bit_indexing?: boolean;
}

/**
 * A compilation config after parsing: every key is present, under its current name and in one spelling.
 */
export interface CompilationConfig {
  /**
   * Compile the multimodal encoder: fusion rules run over its op graph. If off, every op is lowered to its own kernel. Both give the same embeddings within rounding.
   */
  readonly compile_mm_encoder: boolean;
  /**
   * Capture the whole encoder forward as one graph for each token budget, and replay it. If off, every batch runs eagerly.
   */
  readonly cudagraph_mm_encoder: boolean;
  /**
   * Capacities, in output tokens (after the merge), for which graphs are captured. A batch is replayed in the smallest budget that holds it. Empty: powers of two times the model's smallest budget, up to its largest.
   *
   * @maxItems 1024
   */
  readonly encoder_cudagraph_token_budgets: readonly number[];
  /**
   * Most images and videos in one batch. 0: inferred as the model's largest budget divided by its smallest, and at most the smallest token budget.
   */
  readonly encoder_cudagraph_max_vision_items_per_batch: number;
  /**
   * Most video frames in one batch, over all its items; every frame is its own attention segment, and an image is one frame. Null: items per batch times frames per video. 0: no videos in graphs.
   */
  readonly encoder_cudagraph_max_frames_per_batch: number | null;
  /**
   * Print a line for each batch: items, tokens, budget and waste. vitgraph's own, from vLLM's first pull request; vLLM refuses it.
   */
  readonly encoder_cudagraph_verbose: boolean;
  /**
   * @deprecated
   * Patches along one side of a merged token. The checkpoint's config.json has the value, and this key is only compared with it.
   */
  readonly encoder_spatial_merge_size: number | null;
  /**
   * How torch.compile is applied to the language model, by name or by number. Null: VLLM_COMPILE when the optimization level is above 0, else NONE.
   */
  readonly mode: null | "NONE" | "STOCK_TORCH_COMPILE" | "DYNAMO_TRACE_ONCE" | "VLLM_COMPILE";
  /**
   * Directory into which traced graphs are dumped.
   */
  readonly debug_dump_path: string | null;
  /**
   * Directory of the compile cache. Empty: vLLM's own directory, named by the hash of the config.
   */
  readonly cache_dir: string;
  /**
   * How the compile cache is saved. The default follows VLLM_COMPILE_CACHE_SAVE_FORMAT where that is set.
   */
  readonly compile_cache_save_format: "binary" | "unpacked";
  /**
   * Backend of torch.compile. Empty: the platform's own. With mode VLLM_COMPILE only "", eager or inductor; otherwise any Dynamo backend, or the qualified name of a function.
   */
  readonly backend: string;
  /**
   * Which of vLLM's custom ops are on: 'all' or 'none' as the base, then '+op' and '-op'.
   */
  readonly custom_ops: readonly string[];
  /**
   * Wrap vLLM's IR ops as torch custom ops. Null: true for VLLM_COMPILE with inductor, else false.
   */
  readonly ir_enable_torch_wrap: boolean | null;
  /**
   * Ops kept out of piecewise graphs. Null: the attention ops. Empty: none.
   */
  readonly splitting_ops: readonly string[] | null;
  /**
   * Sizes for which inductor specialises, or "cudagraph_capture_sizes" for those.
   */
  readonly compile_sizes: readonly (number | "cudagraph_capture_sizes")[] | null;
  /**
   * Ends of the ranges of token counts for which inductor compiles a graph each.
   */
  readonly compile_ranges_endpoints: readonly number[] | null;
  /**
   * Options that are passed to inductor unchanged.
   */
  readonly inductor_compile_config: Readonly<Record<string, unknown>>;
  /**
   * Further inductor passes: name → qualified name of the function.
   */
  readonly inductor_passes: Readonly<Record<string, string>>;
  /**
   * Which graphs of the language model are captured. Null: by optimization level. In vLLM, NONE also switches the encoder's graphs off, silently.
   */
  readonly cudagraph_mode: null | "NONE" | "PIECEWISE" | "FULL" | "FULL_DECODE_ONLY" | "FULL_AND_PIECEWISE";
  /**
   * Runs before a graph is captured.
   */
  readonly cudagraph_num_of_warmups: number;
  /**
   * Batch sizes, in tokens, for which the language model's graphs are captured. Null: inferred.
   */
  readonly cudagraph_capture_sizes: readonly number[] | null;
  /**
   * Copy a graph's inputs to its own buffers. Only for PIECEWISE.
   */
  readonly cudagraph_copy_inputs: boolean;
  /**
   * Capture separate graphs for batches with and without active LoRA adapters.
   */
  readonly cudagraph_specialize_lora: boolean;
  /**
   * Split the graph when inductor generates code, rather than before.
   */
  readonly use_inductor_graph_partition: boolean | null;
  readonly pass_config: PassConfig;
  /**
   * Largest of the language model's capture sizes. Null: the smaller of twice max_num_seqs and 512.
   */
  readonly max_cudagraph_capture_size: number | null;
  readonly dynamic_shapes_config: DynamicShapesConfig;
  /**
   * Start mixture-of-experts models faster, assuming that only this model runs, with its experts in order. Null: on, except with speculative decoding.
   */
  readonly fast_moe_cold_start: boolean | null;
}
/**
 * Which of vLLM's inductor passes run.
 */
export interface PassConfig {
  /**
   * Fuse RMSNorm with quantisation. Unset (null), the optimization level decides.
   */
  readonly fuse_norm_quant: boolean | null;
  /**
   * Fuse SiLU-and-multiply with quantisation. Unset (null), the optimization level decides.
   */
  readonly fuse_act_quant: boolean | null;
  /**
   * Fuse attention with quantisation. Unset (null), the optimization level decides.
   */
  readonly fuse_attn_quant: boolean | null;
  /**
   * Remove ops that change nothing. The fusions with quantisation count on it.
   */
  readonly eliminate_noops: boolean | null;
  /**
   * Use sequence parallelism. Unset (null), the optimization level decides.
   */
  readonly enable_sp: boolean | null;
  /**
   * Overlap matrix products with tensor-parallel communication. Unset (null), the optimization level decides.
   */
  readonly fuse_gemm_comms: boolean | null;
  /**
   * Fuse all-reduce with RMSNorm. Unset (null), the optimization level decides.
   */
  readonly fuse_allreduce_rms: boolean | null;
  /**
   * Fuse the RMSNorm of queries and keys with rotary embedding. Unset (null), the optimization level decides.
   */
  readonly enable_qk_norm_rope_fusion: boolean | null;
  /**
   * Fuse rotary embedding with the cache update of latent attention. Unset (null), the optimization level decides.
   */
  readonly fuse_rope_kvcache_cat_mla: boolean | null;
  /**
   * Fuse RMSNorm with padding (ROCm). Unset (null), the optimization level decides.
   */
  readonly fuse_act_padding: boolean | null;
  /**
   * Fuse the query and key-value RMSNorms of latent attention (ROCm). Unset (null), the optimization level decides.
   */
  readonly fuse_mla_dual_rms_norm: boolean | null;
  /**
   * Fuse rotary embedding with the cache update (ROCm). Unset (null), the optimization level decides.
   */
  readonly fuse_rope_kvcache: boolean | null;
  /**
   * Fuse the RMSNorm of queries and keys, rotary embedding and the cache update (ROCm). Unset (null), the optimization level decides.
   */
  readonly fuse_qk_norm_rope_kvcache: boolean | null;
  /**
   * Batches above this many tokens run the RoPE and cache update unfused.
   */
  readonly rope_kvcache_fusion_max_token_num: number;
  /**
   * Largest tensor, in megabytes, for the fused all-reduce. Null: by device and world size.
   */
  readonly fi_allreduce_fusion_max_size_mb: number | null;
  /**
   * Fewest tokens for which sequence parallelism is used. Null: by device and world size.
   */
  readonly sp_min_token_num: number | null;
}
/**
 * How torch.compile treats shapes that vary.
 */
export interface DynamicShapesConfig {
  /**
   * How sizes that vary are traced.
   */
  readonly type: "backed" | "unbacked" | "backed_size_oblivious";
  /**
   * Debug mode: fail when a dynamic shape is specialised.
   */
  readonly evaluate_guards: boolean;
  /**
   * Assume that tensor sizes fit 32-bit indices.
   */
  readonly assume_32_bit_indexing: boolean;
}
