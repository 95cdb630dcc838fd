/**
 * The package runs where there is no `eval` and no Node: in a browser with a strict content security policy, in a
 * worker. It is bundled for one, and the bundle is read and run.
 */
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import { expect, test } from "vitest";

const entry = fileURLToPath(new URL("../src/index.ts", import.meta.url));

async function bundle(): Promise<{ text: string; imports: readonly string[] }> {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    platform: "browser",
    format: "iife",
    globalName: "config",
    conditions: ["vitgraph-source"],
    metafile: true,
    write: false,
    logLevel: "silent",
  });
  const imports = Object.values(result.metafile.outputs).flatMap((output) =>
    output.imports.map((each) => each.path),
  );
  return { text: result.outputFiles[0]!.text, imports };
}

test("bundles for a browser without eval, Function or anything of Node's", async () => {
  const { text, imports } = await bundle();
  expect(imports).toEqual([]);
  expect(text).not.toMatch(/\beval\s*\(/);
  expect(text).not.toMatch(/\bnew Function\b|[^.\w]Function\s*\(/);
  expect(text).not.toMatch(/\brequire\s*\(|["']node:|\bprocess\./);
});

test("the bundle parses and validates where code generation is forbidden", async () => {
  const { text } = await bundle();
  // Nothing but the language itself: no process, no require, no eval.
  const context = createContext({}, { codeGeneration: { strings: false, wasm: false } });
  runInContext(text, context);
  const run = (code: string) => runInContext(code, context) as unknown;
  expect(
    run(`config.parseCompilationConfig('{"cudagraph_mm_encoder": "on"}').config.cudagraph_mm_encoder`),
  ).toBe(true);
  expect(run(`try { config.parseCompilationConfig('{"mod": 1}') } catch (error) { error.message }`)).toBe(
    'compilation config:1:2: "mod" is not a key of the compilation config: did you mean "mode"?',
  );
});
