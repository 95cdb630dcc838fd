/**
 * The entry point of vitgraph: the command line as a function, and the types of `bench --json`.
 *
 * @module vitgraph
 */
export type { BenchedWorkload, BenchReport } from "./bench/report.js";
export { main } from "./cli.js";
export type { CliIo } from "./cli-io.js";
