import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyPatch } from "diff";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { main } from "../cli.js";
import { createFakeIo } from "../testing.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vitgraph-fix-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const pathOf = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(pathOf(name), "utf8");

function file(name: string, text: string): string {
  writeFileSync(pathOf(name), text);
  return pathOf(name);
}

async function fix(...args: string[]) {
  const io = createFakeIo();
  const code = await main(["config", "fix", ...args], io);
  const short = (text: string) => text.replaceAll(`${folder}/`, "");
  return { code, out: short(io.out), err: short(io.err) };
}

const YAML = `# Two mistakes.
port: 8000
compilation-config:
  cudagraph_mm_encodre: true   # a typo
  encoder_cudagraph_token_budgets: [64, 128, 128]
`;
const FIXED = `# Two mistakes.
port: 8000
compilation-config:
  cudagraph_mm_encoder: true   # a typo
  encoder_cudagraph_token_budgets: [64, 128]
`;

describe("config fix", () => {
  test("applies remedies one after the other, and keeps comments and layout", async () => {
    // The budget listed twice shows only after the typo is corrected.
    const { code, out } = await fix(file("serve.yaml", YAML));
    expect(read("serve.yaml")).toBe(FIXED);
    expect(
      out,
    ).toBe(`serve.yaml:4:3: fixed: "cudagraph_mm_encodre" is not a key of the compilation config: rename to "cudagraph_mm_encoder"
serve.yaml:5:46: fixed: token budget 128 is listed twice: remove the second 128
serve.yaml: 2 fixed, 0 errors, 0 warnings left
`);
    expect(code).toBe(0);
    expect((await fix(pathOf("serve.yaml"))).out).toBe("serve.yaml: 0 fixed, 0 errors, 0 warnings left\n");
  });

  test("--dry-run prints a diff, and writes nothing", async () => {
    const { out, err } = await fix("--dry-run", file("serve.yaml", YAML));
    expect(read("serve.yaml")).toBe(YAML);
    expect(applyPatch(YAML, out)).toBe(FIXED);
    expect(out).toContain("\n-  cudagraph_mm_encodre: true   # a typo\n");
    expect(err).toContain("serve.yaml:4:3: would fix: ");
  });

  test("keeps a byte order mark, Windows' line ends, a link and permissions", async () => {
    const text = `\uFEFF{\r\n  "cudagraph_mm_encodre": true\r\n}\r\n`;
    chmodSync(file("cc.json", text), 0o640);
    symlinkSync("cc.json", pathOf("link.json"));
    expect((await fix(pathOf("link.json"))).code).toBe(0);
    expect(read("cc.json")).toBe(text.replace("encodre", "encoder"));
    expect(statSync(pathOf("cc.json")).mode & 0o777).toBe(0o640);
    expect((await fix(pathOf("link.json"))).out).toContain("0 fixed");
  });

  test("uses the facts of a model", async () => {
    writeFileSync(pathOf("config.json"), JSON.stringify({ model_type: "blip_2" }));
    const path = file("cc.json", '{"compile_mm_encoder": true}\n');
    expect((await fix(path)).out).toContain("0 fixed");
    await fix(path, "--model", folder);
    expect(read("cc.json")).toBe('{"compile_mm_encoder": false}\n');
  });

  test("what takes a decision is left, and an error makes the exit code 1", async () => {
    const path = file("cc.json", '{"encoder_cudagraph_token_budgets": ["many"]}');
    const { code, out } = await fix(path);
    expect({ code, out }).toEqual({ code: 1, out: "cc.json: 0 fixed, 1 error, 0 warnings left\n" });
    expect(read("cc.json")).toBe('{"encoder_cudagraph_token_budgets": ["many"]}');
  });

  test("files that cannot be read are errors, and the others are fixed", async () => {
    writeFileSync(pathOf("latin1.yaml"), Buffer.from("# \xe9\n", "latin1"));
    const { code, err } = await fix(
      pathOf("latin1.yaml"),
      "-",
      pathOf("gone.yaml"),
      pathOf("nomatch*"),
      file("serve.yaml", YAML),
    );
    expect(code).toBe(1);
    expect(err).toMatch(
      /^error: latin1\.yaml is not UTF-8: .*\nerror: standard input cannot be fixed: give a file .*\nerror: cannot read gone\.yaml .*\nerror: no file matches nomatch\*: .*\n$/,
    );
    expect(read("serve.yaml")).toBe(FIXED);
  });
});
