/** transformers.js as a host of vitgraph. A barrel, and nothing else. */
export { type Attachment, attachEncoder, type ImageEncoder } from "./attach-encoder.js";
export type { HostModel, HostTensor, HostTokenizer, PreparedInputs } from "./host-model.js";
