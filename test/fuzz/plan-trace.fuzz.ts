/** `vitgraph plan` on any text as a trace: a plan, or an error with a code; never a stack, and no message of the text's size. */

import fc from "fast-check";
import { main } from "vitgraph";
import { createFakeIo } from "vitgraph/testing";
import { TINY } from "../fixtures.js";
import type { FuzzTarget } from "./fuzz-target.js";

/** Pieces of all forms, so that many texts are nearly right. */
const piece = fc.oneof(
  fc.constantFrom("tokens", "width,height", "count", "640x480", "961", "0", "[", "]", "{", "}", '"', ":", ",", ";", "\t", "#", "x", "×"),
  fc.constantFrom("\n", "\r\n", "\uFEFF", '{"tokens": 4}', "[480, 640]", '"640","480"', "1e9", "-1", "9".repeat(30)),
  fc.string({ unit: "binary", maxLength: 4 }),
); // biome-ignore format: a table
const trace = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(""));

export default {
  name: "plan-trace",
  property: fc.asyncProperty(trace, async (text) => {
    const io = createFakeIo({ stdin: text });
    const code = await main(["plan", "--trace", "-", "--model", TINY, "--json"], io);
    if (code === 0) return JSON.parse(io.out).planned.budgets.length > 0;
    return code === 1 && /\[VG_[A-Z_]+\]\n$/.test(io.err) && io.err.length < 2000;
  }),
} satisfies FuzzTarget;
