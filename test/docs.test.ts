/** Links of the READMEs and of docs/ to files of this repository, and what becomes of them in a packed README. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
// @ts-expect-error a script without types
import { publishedReadme, repositoryPage } from "../scripts/published-readme.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const inFolder = (folder: string) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name));
const packages = readdirSync(join(ROOT, "packages")).map((name) => join("packages", name, "README.md"));
const PAGES = [...inFolder("."), ...inFolder("docs"), ...inFolder("docs/decisions"), ...packages];

function linksOf(page: string): readonly string[] {
  const text = readFileSync(join(ROOT, page), "utf8").replace(/```.*?```/gs, "");
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link as string);
}

test.each(PAGES.filter((page) => existsSync(join(ROOT, page))))("%s links to files that exist", (page) => {
  const paths = linksOf(page)
    .filter((link) => !/^(https?:|#|mailto:)/.test(link))
    .map((link) => link.split("#")[0] as string);
  expect(paths.filter((path) => !existsSync(join(ROOT, dirname(page), path)))).toEqual([]);
});

test("the index of docs/ has every guide and every decision", () => {
  const linked = linksOf("docs/README.md").map((link) => join("docs", link.split("#")[0] as string));
  const pages = [...inFolder("docs"), ...inFolder("docs/decisions")].filter(
    (page) => page !== "docs/README.md",
  );
  expect(pages.filter((page) => !linked.includes(page))).toEqual([]);
});

const README = `See [docs/server.md](../../docs/server.md#chat), [the core](../core), [src](src/index.ts) and
[vLLM](https://docs.vllm.ai).

\`\`\`md
[code](../../docs/server.md)
\`\`\`
`;

test("links of a packed README that leave the package go to the repository's address", () => {
  const page = repositoryPage({ type: "git", url: "git+https://git.example/owner/name.git" });
  expect(publishedReadme(README, "packages/errors", page)).toBe(
    README.replace("../../docs/server.md#chat", `${page}/blob/HEAD/docs/server.md#chat`).replace(
      "../core",
      "https://git.example/owner/name/tree/HEAD/packages/core",
    ),
  );
});

test("without an address they are text that names the file", () => {
  expect(publishedReadme(README, "packages/errors", undefined)).toBe(
    README.replace("[docs/server.md](../../docs/server.md#chat)", "docs/server.md").replace(
      "[the core](../core)",
      "the core (`packages/core`)",
    ),
  );
});
