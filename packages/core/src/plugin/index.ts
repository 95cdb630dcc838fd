/** The plugin for host engines. Re-exports only. */
export * from "./contract.js";
export { createEncoderPlugin } from "./encoder-plugin.js";
export type { CreateEngine, EncoderEngineLike } from "./engine-like.js";
export type { EncoderPluginOptions } from "./plugin-options.js";
