/**
 * transformers.js as a host of vitgraph. Re-exports only.
 *
 * @module @vitgraph/transformers
 */
export { type Attachment, attachEncoder, type ImageEncoder } from "./attach-encoder.js";
export type { HostModel, HostTensor, HostTokenizer, PreparedInputs } from "./host-model.js";
