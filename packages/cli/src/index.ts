/** The door of vitgraph: the command line as a function. */
export { main } from "./cli.js";
export type { CliIo } from "./cli-io.js";
