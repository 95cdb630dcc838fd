/** The statuses of error codes, and the table of them in docs/plugging-into-a-host.md. */
import { readFile } from "node:fs/promises";
import { ERROR_CODES, type ErrorCode, VitgraphError } from "@vitgraph/errors";
import { expect, test } from "vitest";
import { httpError } from "./http-errors.js";

test.each([
  ["allowedMediaDomains", "--allowed-media-domains"],
  ["allowedLocalMediaPath", "--allowed-local-media-path"],
  ["maxItems", "--max-items"],
  ["maxPixels", "--max-pixels"],
  ["maxImageBytes", "--max-image-bytes"],
  ["maxBodyBytes", "--max-body-bytes"],
  ["maxResponseBytes", "--max-response-bytes"],
  ["maxRequestMemoryBytes", "--max-request-memory"],
  ["chatMs", "--chat-timeout"],
])("a remedy that names %s names the documented flag %s, too", async (name, flag) => {
  const error = new VitgraphError("VG_REQUEST_INVALID", "a fact", { remedy: `change ${name} of the server` });
  expect(httpError(error).body.error).toMatchObject({
    message: `a fact: change ${flag} (${name}) of the server`,
    remedy: `change ${flag} (${name}) of the server`,
  });
  const page = await readFile(new URL("../../../docs/server.md", import.meta.url), "utf8");
  expect(page).toContain(`\`${flag}\``);
});

test("an option without a flag keeps its name", () => {
  const remedy = "try again later, or raise limits.maxQueuedTokens";
  expect(httpError(new VitgraphError("VG_QUEUE_FULL", "a fact", { remedy })).body.error.remedy).toBe(remedy);
});

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
