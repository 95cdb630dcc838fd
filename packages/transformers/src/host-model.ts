/**
 * Types of the parts of transformers.js 4 that vitgraph reads or calls. The package is not imported, since the
 * application has its own copy; new tensors are made with the class of the application's tensors.
 */

export interface HostTensor {
  readonly type: string;
  readonly dims: readonly number[];
  // biome-ignore lint/suspicious/noExplicitAny: transformers.js types it by `type`
  readonly data: any;
}

/** The arguments of `encode_image` from `generate`: the processor's outputs among others. */
export interface ImageInputs {
  /** f32 [patches of all images, channels · temporal · patch · patch] */
  readonly pixel_values: HostTensor;
  /** i64 [images, 3] */
  readonly image_grid_thw: HostTensor;
}

/** The arguments of `_merge_input_ids_with_image_features`. */
export interface MergeInputs {
  /** [batch, sequence, hidden size] */
  readonly inputs_embeds: HostTensor;
  /** [tokens, hidden size] */
  readonly image_features: HostTensor;
  readonly input_ids: HostTensor;
  readonly attention_mask: HostTensor;
}

/** A supported model of transformers.js. */
export interface HostModel {
  // biome-ignore lint/suspicious/noExplicitAny: a PretrainedConfig
  readonly config: any;
  /** The vision encoder's rows [tokens, hidden size], which `attachEncoder` replaces. */
  // biome-ignore lint/suspicious/noExplicitAny: transformers.js has no types for its private methods
  encode_image(inputs: any): Promise<any>;
}

/** transformers.js' tokenizer. */
export interface HostTokenizer {
  // biome-ignore lint/suspicious/noExplicitAny: its result has tensors
  (text: string): any;
  /** The text of tokens. */
  decode(ids: number[], options?: { readonly skip_special_tokens?: boolean }): string;
}

/** For `model.generate`. */
export interface PreparedInputs {
  readonly input_ids: HostTensor;
  readonly attention_mask: HostTensor;
  /** An empty tensor that identifies the encoded images. */
  readonly pixel_values: HostTensor;
  readonly image_grid_thw: HostTensor;
}

/** A tensor of the same class as another one. */
export function tensorLike(
  example: HostTensor,
  type: "float32" | "int64",
  data: Float32Array | BigInt64Array,
  dims: readonly number[],
): HostTensor {
  const Tensor = example.constructor as new (
    type: string,
    data: Float32Array | BigInt64Array,
    dims: readonly number[],
  ) => HostTensor;
  return new Tensor(type, data, dims);
}
