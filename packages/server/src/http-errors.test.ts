/** The statuses of error codes, and the table of them in docs/plugging-into-a-host.md. */
import { readFile } from "node:fs/promises";
import { ERROR_CODES, type ErrorCode, VitgraphError } from "@vitgraph/errors";
import { expect, test } from "vitest";
import { httpError } from "./http-errors.js";

test("the table of host authors has the status of every code", async () => {
  const page = await readFile(new URL("../../../docs/plugging-into-a-host.md", import.meta.url), "utf8");
  const documented = [...page.matchAll(/^\| (\d{3}) \| ([^|]+) \|/gm)].flatMap(([, status, codes = ""]) =>
    [...codes.matchAll(/VG_\w+/g)].map(([code]) => [code, Number(status)] as const),
  );
  const answered = (Object.keys(ERROR_CODES) as ErrorCode[])
    .map((code) => [code, httpError(new VitgraphError(code, "a fact")).status] as const)
    .filter(([, status]) => status !== 500);
  const byCode = ([a]: readonly [string, number], [b]: readonly [string, number]) => a.localeCompare(b);
  expect(documented.toSorted(byCode)).toEqual(answered.toSorted(byCode));
});
