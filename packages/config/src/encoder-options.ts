/** The encoder's keys, under this project's names. All other keys belong to the language model. */
import type { CompilationConfig } from "./generated/types.js";

/** The encoder's options in a config. Budgets, items and frames go to {@link resolveEncoderBudgets}. */
export interface EncoderOptions {
  /** `compile_mm_encoder`: run the fusion rules. */
  readonly compile: boolean;
  /** `cudagraph_mm_encoder`: capture a graph for each budget, and replay. */
  readonly cudagraph: boolean;
  /** `encoder_cudagraph_token_budgets`, as given: in any order; empty means infer. */
  readonly tokenBudgets: readonly number[];
  /** `encoder_cudagraph_max_vision_items_per_batch`; 0 means infer. */
  readonly maxItems: number;
  /** `encoder_cudagraph_max_frames_per_batch`; null means infer, 0 means no videos in graphs. */
  readonly maxFrames: number | null;
  /** `encoder_cudagraph_verbose`: print a line for each batch. */
  readonly verbose: boolean;
}

/** The encoder's keys of a parsed config, under vitgraph's names. */
export function encoderOptions(config: CompilationConfig): EncoderOptions {
  return {
    compile: config.compile_mm_encoder,
    cudagraph: config.cudagraph_mm_encoder,
    tokenBudgets: config.encoder_cudagraph_token_budgets,
    maxItems: config.encoder_cudagraph_max_vision_items_per_batch,
    maxFrames: config.encoder_cudagraph_max_frames_per_batch,
    verbose: config.encoder_cudagraph_verbose,
  };
}
