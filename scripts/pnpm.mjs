// `node scripts/pnpm.mjs ARGS…`: the pinned pnpm, whether or not one is installed, in the directory where it is called.
import { checkNode, pnpm } from "./toolchain.mjs";

checkNode();
process.exitCode = pnpm(process.argv.slice(2), { cwd: process.cwd() });
