/** Shell completion: what a shell asks for, and the scripts that make it ask. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { main } from "./cli.js";
import { createFakeIo } from "./testing.js";

let printed: string;
beforeEach(() => {
  printed = "";
  vi.spyOn(console, "log").mockImplementation((line) => {
    printed += `${line}\n`;
  });
});
afterEach(() => vi.restoreAllMocks());

async function complete(...words: string[]): Promise<readonly string[]> {
  expect(await main(["complete", "--", ...words], createFakeIo())).toBe(0);
  return printed.split("\n").flatMap((line) => line.split("\t")[0] || []);
}

test("commands, subcommands, options and choices", async () => {
  expect(await complete("en")).toContain("encode");
  expect(await complete("config", "")).toEqual(expect.arrayContaining(["check", "explain", "schema"]));
  expect(await complete("encode", "--back")).toContain("--backend");
  expect(await complete("encode", "--backend", "")).toEqual(expect.arrayContaining(["auto", "cpu", "cuda"]));
});

test.each(["bash", "zsh", "fish", "powershell"])("a script for %s", async (shell) => {
  expect(await main(["complete", shell], createFakeIo())).toBe(0);
  expect(printed).toContain(`${shell} completion for vitgraph`);
});

test("another shell is refused", async () => {
  const io = createFakeIo();
  expect(await main(["complete", "tcsh"], io)).toBe(2);
  expect(io.err).toContain("Allowed choices are zsh, bash, fish, powershell");
});
