#!/usr/bin/env node
// The command's entry. It is a checked-in file, so that the package manager can link it before anything is built.
import { existsSync } from "node:fs";

const cli = new URL("../dist/cli.js", import.meta.url);
if (!existsSync(cli)) {
  console.error("vitgraph is not built yet: run `npm start` or `npm test` in the repository once.");
  process.exit(1);
}
const { main } = await import(cli.href);
// A write to stdout that failed sets it, too.
process.exitCode = (await main(process.argv.slice(2))) || process.exitCode;
