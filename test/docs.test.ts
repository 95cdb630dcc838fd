/** Links of the Markdown pages to files and headings of this repository, and what becomes of them in a packed README. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
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
const benches = ["benchmarks", "benchmarks/peer", "packages/cuda-kernels/dev"].flatMap(inFolder);
const PAGES = [
  ...inFolder("."),
  ...inFolder("docs"),
  ...inFolder("docs/decisions"),
  ...packages.filter((page) => existsSync(join(ROOT, page))),
  ...benches,
];

const textOf = (page: string) => readFileSync(join(ROOT, page), "utf8").replace(/```.*?```/gs, "");

function linksOf(page: string): readonly string[] {
  return [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link as string);
}

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(page: string): readonly string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, "")
      .replaceAll(" ", "-"),
  );
}

test.each(PAGES)("%s links to files and headings that exist", (page) => {
  const missing = linksOf(page).filter((link) => {
    if (/^(https?:|mailto:)/.test(link)) return false;
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? page : normalize(join(dirname(page), path));
    if (!existsSync(join(ROOT, target))) return true;
    return anchor !== undefined && target.endsWith(".md") && !anchorsOf(target).includes(anchor);
  });
  expect(missing).toEqual([]);
});

test("the index of docs/ has every guide and every decision", () => {
  const linked = linksOf("docs/README.md").map((link) => join("docs", link.split("#")[0] as string));
  const pages = [...inFolder("docs"), ...inFolder("docs/decisions")].filter(
    (page) => page !== "docs/README.md",
  );
  expect(pages.filter((page) => !linked.includes(page))).toEqual([]);
});

test.each(inFolder("docs/decisions"))(
  "%s has one status below its title, of the date in its name",
  (page) => {
    const date = /\d{4}-\d\d-\d\d/.exec(page)?.[0];
    expect(textOf(page)).toMatch(new RegExp(`^# .+\n\n(Accepted|Rejected|Superseded) ${date}(; .*)?\n\n`));
  },
);

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
