/** The door @vitgraph/server/testing: a world for commands that remembers what they said. */
import type { CliIo } from "./cli-io.js";

export interface FakeIo extends CliIo {
  /** All that went to stdout. */
  readonly out: string;
  /** All that went to stderr. */
  readonly err: string;
}

/** Without colour, without environment. */
export function createFakeIo(): FakeIo {
  const io = {
    out: "",
    err: "",
    stdout(text: string) {
      io.out += text;
    },
    stderr(text: string) {
      io.err += text;
    },
    color: false,
    env: {},
    exitCode: 0,
  };
  return io;
}
