/** The door of vitgraph: the command line as a function, and what `bench --json` writes. */
export type { BenchedWorkload, BenchReport } from "./bench/report.js";
export { main } from "./cli.js";
export type { CliIo } from "./cli-io.js";
