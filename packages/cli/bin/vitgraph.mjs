#!/usr/bin/env node
// The command's entry. It is a checked-in file, so that the package manager can link it before anything is built.
import { existsSync } from "node:fs";

const cli = new URL("../dist/cli.js", import.meta.url);
if (!existsSync(cli)) {
  console.error("vitgraph is not built yet: run `npm start` or `npm test` in the repository once.");
  process.exit(1);
}
const { main } = await import(cli.href);
const code = await main(process.argv.slice(2));
// A write to stdout that failed sets it, too.
process.exitCode = code || process.exitCode;
// An interrupted command may still be working. End the process once its output is written.
if (code === 130) process.stdout.write("", () => process.exit());
