/**
 * transformers.js as a host of vitgraph. A barrel, and nothing else.
 *
 * @module @vitgraph/transformers
 */
export { type Attachment, attachEncoder, type ImageEncoder } from "./attach-encoder.js";
export type { HostModel, HostTensor, HostTokenizer, PreparedInputs } from "./host-model.js";
