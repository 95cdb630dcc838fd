/** Arguments in a text, such as a manifest: places and fixes are those of the text. */
import { expect, test } from "vitest";
import { offsetPlaces } from "../document.js";
import { configFindings } from "../findings.js";
import { applyFix } from "../fix.js";
import { parseServeArguments } from "./arguments.js";

/** Findings about arguments in a text, one per line. */
function findings(text: string) {
  const argv = text.split("\n");
  const starts = argv.map((_, index) => argv.slice(0, index).join("\n").length + (index === 0 ? 0 : 1));
  const places = offsetPlaces(text, "args");
  return configFindings("args", () => {
    const textOf = (index: number) => {
      const start = starts[index]!;
      return {
        locate: (offset: number) => places(start + offset),
        embedEdit: (edit: { start: number; end: number; text: string }) => ({
          ...edit,
          start: start + edit.start,
          end: start + edit.end,
        }),
      };
    };
    return parseServeArguments(argv, { textOf }).compilationConfig;
  });
}

test.each([
  [
    '-cc\n{"mode": 3, "cudagraph_mm_encodre": true}',
    "2:13",
    '-cc\n{"mode": 3, "cudagraph_mm_encoder": true}',
  ],
  ['--port\n1\n--compilation-config={"mod": 3}', "3:23", '--port\n1\n--compilation-config={"mode": 3}'],
  ["-cc.mod=3", "1:1", "-cc.mode=3"],
  ["-cc.pass_config.enable_noop\ntrue", "1:1", "-cc.pass_config.eliminate_noops\ntrue"],
  ["-cc.cudagraph_mm_encoder=on", "1:1", "-cc.cudagraph_mm_encoder=true"],
  ["-cc.cudagraph_mode=FULL_DECODE", "1:1", "-cc.cudagraph_mode=FULL_DECODE_ONLY"],
  ["serve\n-O7", "2:1", undefined],
  ["serve\n--compilation-confg={}", "2:1", undefined],
  ["serve\n-cc", "2:1", undefined],
  ['serve\n-cc {"mode":3}', "2:1", undefined],
])("%j", (text, place, fixed) => {
  const [finding] = findings(text).filter(({ severity, fix }) => severity === "error" || fix !== undefined);
  expect(`${finding?.line}:${finding?.column}`).toBe(place);
  expect(finding?.fix && applyFix(text, finding.fix)).toBe(fixed);
});

test("a remedy of the linter goes to the argument that is JSON", () => {
  const text = '-cc\n{"encoder_cudagraph_token_budgets": [64]}';
  const [finding] = findings(text).filter(({ rule }) => rule === "budgets-unused");
  expect(`${finding?.line}:${finding?.column}`).toBe("2:37");
  expect(applyFix(text, finding!.fix!)).toBe(
    '-cc\n{"cudagraph_mm_encoder": true, "encoder_cudagraph_token_budgets": [64]}',
  );
});
