/**
 * One tensor whose bytes can be read a slice at a time, wherever they come from: a checkpoint's file or a generator.
 * It never holds all of them, so that loading a model takes no more memory than the model.
 */
export interface TensorSource {
  /** As an error would name it. */
  readonly name: string;
  /** safetensors' name of it, as the file has it. */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  /** Fills `target` with the tensor's bytes from `start` on, in row-major order. @throws VG_WEIGHTS_INVALID */
  readSlice(start: number, target: Uint8Array): Promise<void>;
}
