/** How the encoder is plugged into a host engine. A barrel, and nothing else. */
export * from "./contract.js";
export { createEncoderPlugin } from "./encoder-plugin.js";
export type { CreateEngine, EncoderEngineLike } from "./engine-like.js";
export type { EncoderPluginOptions } from "./plugin-options.js";
