/** The text below a command's options in `--help`, wrapped to the terminal as commander wraps the options. */
import { type Command, Help } from "commander";

/** commander's, where the output is no terminal. */
const DEFAULT_WIDTH = 80;
const HELP = new Help();

/**
 * @param notes paragraphs and lists, one to a line. A list's line has two spaces, a term, two or more spaces, and what the
 *   term means.
 */
export function addHelpNotes(command: Command, notes: string): Command {
  return command.addHelpText("after", ({ error, command: asked }) => {
    const { getErrHelpWidth, getOutHelpWidth } = asked.configureOutput();
    const width = (error ? getErrHelpWidth?.() : getOutHelpWidth?.()) ?? DEFAULT_WIDTH;
    return `\n${wrapNotes(notes, width)}`;
  });
}

export function wrapNotes(notes: string, width: number): string {
  return notes
    .split("\n")
    .map((line) => {
      const [term = ""] = /^ {2}\S.*? {2,}(?=\S)/.exec(line) ?? [];
      const wrapped = HELP.boxWrap(line.slice(term.length), width - term.length);
      return term + wrapped.replaceAll("\n", `\n${" ".repeat(term.length)}`);
    })
    .join("\n");
}
