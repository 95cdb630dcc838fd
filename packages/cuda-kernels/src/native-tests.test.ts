/** The native tests (native/test): code of the CUDA backend that runs on a machine without a GPU. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const built = fileURLToPath(new URL("../build/Release/vitgraph_tests", import.meta.url));
const program = process.env.VITGRAPH_NATIVE_TESTS ?? built;

test("the CUDA backend refuses what it would compute wrongly", () => {
  const { status, stdout, stderr } = spawnSync(program, { encoding: "utf8" });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
});
