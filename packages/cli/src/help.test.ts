/** `--help` of every command, as a terminal of 80 columns shows it. */
import { expect, test } from "vitest";
import { main } from "./cli.js";
import { wrapNotes } from "./help-notes.js";
import { createFakeIo } from "./testing.js";

async function helpOf(...command: readonly string[]): Promise<string> {
  const io = createFakeIo();
  expect(await main([...command, "--help"], io)).toBe(0);
  return io.out;
}

/** The commands that a help text lists. */
const commandsIn = (help: string) =>
  [...(help.split("\nCommands:\n")[1] ?? "").matchAll(/^ {2}([a-z]+)/gm)]
    .map(([, name]) => name as string)
    .filter((name) => name !== "help");

const COMMANDS = commandsIn(await helpOf());
const CONFIG_COMMANDS = commandsIn(await helpOf("config")).map((name) => ["config", name]);

test.each([[], ...COMMANDS.map((name) => [name]), ...CONFIG_COMMANDS])(
  "help of %s %s fits 80 columns",
  async (...command) => {
    const help = await helpOf(...command);
    expect(help.split("\n").filter((line) => line.length > 80)).toEqual([]);
    expect(help).not.toContain("(default: [])");
  },
);

test("notes are wrapped as paragraphs, and lists behind their terms", () => {
  const notes = `One two three four five six seven eight nine ten eleven:
  .npy     one two three four five six seven eight nine ten
  .jsonl   one`;
  expect(wrapNotes(notes, 52)).toBe(`One two three four five six seven eight nine ten
eleven:
  .npy     one two three four five six seven eight
           nine ten
  .jsonl   one`);
});
