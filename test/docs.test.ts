/** Links of the READMEs and of docs/ to files of this repository. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

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
